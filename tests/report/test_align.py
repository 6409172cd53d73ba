"""Aligned positions are a common subsequence, as long as difflib's, at any length."""

from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attentropy.report.align import align

tokens = st.lists(st.integers(0, 6), max_size=40)


@given(tokens, tokens)
@settings(max_examples=300, deadline=None)
def test_aligned_positions_hold_equal_ids_in_the_order_of_both(one, other):
    a, b = align(one, other)
    assert [one[i] for i in a] == [other[j] for j in b]
    assert (np.diff(a) > 0).all()
    assert (np.diff(b) > 0).all()


@given(tokens, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_sequence_with_few_insertions_keeps_every_other_token(one, insertions):
    other = list(one)
    for place, token in insertions:
        other.insert(min(place, len(other)), token)
    a, _ = align(one, other)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    assert len(a) >= sum(block.size for block in matcher.get_matching_blocks()) - len(insertions)
    assert len(a) >= len(one) - 2 * len(insertions)


@pytest.mark.parametrize("vocabulary", [50_000, 3])
def test_long_sequences_align_but_for_what_was_cut(vocabulary):
    random = np.random.default_rng(0)
    one = random.integers(0, vocabulary, 131_072).tolist()
    other = [*one[:50_000], 7, 7, 7, *one[50_100:]]
    a, _ = align(one, other)
    assert len(a) >= 131_072 - 100


def test_equal_and_empty_sequences():
    a, b = align([1, 2, 3], [1, 2, 3])
    assert a.tolist() == b.tolist() == [0, 1, 2]
    assert align([], [1])[0].size == align([1], [])[0].size == 0
