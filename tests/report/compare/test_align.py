"""Aligned positions are a common subsequence; for short sequences it is the longest one."""

from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attentropy.report.compare import align as module
from attentropy.report.compare.align import align

tokens = st.lists(st.integers(0, 6), max_size=40)


def _longest(one, other):
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, x in enumerate(one):
        for j, y in enumerate(other):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
            )
    return table[-1, -1]


def _is_common(one, other):
    a, b = align(one, other)
    assert [one[i] for i in a] == [other[j] for j in b]
    assert (np.diff(a) > 0).all()
    assert (np.diff(b) > 0).all()
    return len(a)


@given(tokens, tokens)
@settings(max_examples=200, deadline=None)
def test_short_sequences_share_the_longest_common_subsequence(one, other):
    length = _is_common(one, other)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    assert length == _longest(one, other)
    assert length >= sum(block.size for block in matcher.get_matching_blocks())


@given(tokens, tokens)
@settings(max_examples=200, deadline=None)
def test_anchors_and_halves_give_a_common_subsequence_too(one, other):
    exact = module._EXACT
    module._EXACT = 2
    try:
        _is_common(one, other)
    finally:
        module._EXACT = exact


@given(
    st.integers(2, 400),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 400)), max_size=5),
)
@settings(max_examples=20, deadline=None)
def test_a_long_sequence_with_few_insertions_keeps_every_other_token(vocabulary, insertions):
    one = np.random.default_rng(vocabulary).integers(0, vocabulary, 6000).tolist()
    other = list(one)
    for place, token in insertions:
        other.insert(min(place, len(other)), token)
    assert _is_common(one, other) == len(one)


class _CountingList(list):
    """A list that counts how many of its tokens are read."""

    count = 0

    def __getitem__(self, at):
        items = super().__getitem__(at)
        self.count += len(items) if isinstance(at, slice) else 1
        return items


def _assert_read_a_few_times(*sequences):
    """Assert that no token was read more than 30 times on average.

    Each of 16 recursion depths reads a token once per length of an anchor. A comparison of every
    pair would read each token of one sequence once per token of the other.
    """
    for sequence in sequences:
        assert sequence.count <= 30 * len(sequence)


LENGTHS = [32_768, pytest.param(131_072, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("vocabulary", [50_000, 1500, 3])
def test_long_sequences_align_but_for_what_was_cut(vocabulary, n):
    random = np.random.default_rng(0)
    one = _CountingList(random.integers(0, vocabulary, n).tolist())
    parts = one[: n // 4], one[n // 4 + 100 : n // 4 * 3], one[n // 4 * 3 + n // 32 :]
    other = _CountingList([5, *parts[0], 7, 7, 7, *parts[1], *parts[2]])
    assert _is_common(one, other) >= n - 100 - n // 32
    _assert_read_a_few_times(one, other)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("vocabulary", [1, 3, 40])
def test_unrelated_long_sequences_take_no_longer(vocabulary, n):
    random = np.random.default_rng(1)
    one, other = (
        _CountingList(random.integers(0, vocabulary, size).tolist())
        for size in (n, n // 12 * 11 + 1)
    )
    _is_common(one, other)
    _assert_read_a_few_times(one, other)


def test_every_run_gives_the_same_positions():
    random = np.random.default_rng(2)
    one, other = (random.integers(0, 50, 5000).tolist() for _ in range(2))
    first, second = align(one, other), align(list(one), list(other))
    assert np.array_equal(first, second)


def test_equal_and_empty_sequences():
    a, b = align([1, 2, 3], [1, 2, 3])
    assert a.tolist() == b.tolist() == [0, 1, 2]
    assert align([], [1])[0].size == align([1], [])[0].size == 0
