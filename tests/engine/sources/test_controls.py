"""Draws of controls, and the labels."""

import itertools
import math

import numpy as np
import pytest

from attentropy.engine.sources.controls import Controls, interval
from attentropy.engine.sources.labels import FLOOR, LABELS, Facts, floor_of, label_of
from attentropy.engine.sources.spans import Span
from hand_set import layout

OWN = layout(" ".join(f"w{i}" for i in range(60)), "x", system=" ".join("abcdefgh"))
FIRST = OWN.tokens.index("w0")


def span(start, length, message=1):
    return Span(FIRST + start, FIRST + start + length, "word", "asks", message)


def test_draws_have_the_length_of_the_span_and_overlap_neither_it_nor_a_strong_one_nor_a_sink():
    strong = [span(10, 5)]
    draws = Controls(OWN, strong, [FIRST + 30]).draws_for(span(20, 3))
    assert len(draws) == len(set(draws)) == 20
    barred = {FIRST + i for i in (*range(10, 15), *range(20, 23), 30)}
    content = {i for i, role in enumerate(OWN.roles) if role == "content"}
    for start, stop in draws:
        assert stop - start == 3
        assert not barred & set(range(start, stop))
        assert content >= set(range(start, stop))


def test_draws_come_from_the_same_message_and_the_system_message():
    draws = Controls(OWN, [], [], draws=1000).draws_for(span(20, 3))
    places = {start for start, _ in draws}
    assert {1, 2, 3, 4, 5, 6} < places  # the system message has eight words
    assert max(places) == FIRST + 57
    assert not places & {7, 8, 9}  # none is across two messages
    other = layout("a b c", "x")
    assert Controls(other, [], []).draws_for(Span(1, 2, "word", "asks", 5)) == []


def test_draws_are_shared_by_the_spans_of_a_length_and_depend_on_the_seed():
    controls = Controls(OWN, [], [], seed=3)
    first, second = controls.draws_for(span(0, 2)), controls.draws_for(span(40, 2))
    assert len(set(first) & set(second)) >= 16
    assert Controls(OWN, [], [], seed=3).draws_for(span(0, 2)) == first
    assert Controls(OWN, [], [], seed=4).draws_for(span(0, 2)) != first
    assert controls.draws_for(span(0, 2), 5) == first[:5]


def test_single_tokens_that_were_tested_are_drawn_first():
    singles = [FIRST + i for i in range(50, 58)]
    draws = Controls(OWN, [], [], singles).draws_for(span(0, 1))
    assert {start for start, _ in draws[:8]} == set(singles)


def test_the_interval_has_the_5th_and_95th_percentile_of_linear_interpolation():
    effects = np.arange(20.0)[:, None] * [1.0, -1.0]
    control = interval(effects)
    assert control.low == pytest.approx([0.95, -18.05])
    assert control.high == pytest.approx([18.05, -0.95])
    assert control.draws == 20
    few = interval(np.vstack([effects[:4], np.full((3, 2), np.nan)]))
    assert few.draws == 0
    assert np.isnan(few.low).all()


def test_the_floor_is_a_tenth_of_a_nat_or_three_times_the_noise():
    assert floor_of(0.0) == FLOOR == 0.1
    assert floor_of(0.5) == 1.5


# In the order of the labels, what makes each apply.
CAUSES = [
    {"with_copies": -5.0}, {"is_also_there": True}, {"total": -5.0}, {"with_copies": 5.0},
    {"is_attended": True}, {"is_sink": True}, {"with_copies": math.nan}, {},
]  # fmt: skip
ORDER = [5, 6, 0, 1, 2, 3, 4, 7]


@pytest.mark.parametrize("label", range(len(LABELS)))
def test_each_label_has_its_cause(label):
    assert label_of(Facts(**{"with_copies": 0.0, **CAUSES[label]})) == label


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(range(8), 2)))
def test_the_first_label_that_applies_is_the_spans(a, b):
    if set(CAUSES[a]) & set(CAUSES[b]):
        return
    both = {"with_copies": 0.0, **CAUSES[a], **CAUSES[b]}
    assert label_of(Facts(**both)) == min(a, b, key=ORDER.index)


def test_effects_must_leave_the_interval_of_their_control():
    assert LABELS[label_of(Facts(-1.0, low=-0.9))] == "source"
    assert LABELS[label_of(Facts(-1.0, low=-1.1))] == "no effect"
    assert LABELS[label_of(Facts(1.0, high=0.9))] == "works against the word"
    assert LABELS[label_of(Facts(1.0, high=1.1))] == "no effect"
    assert LABELS[label_of(Facts(0.0, total=-1.0, total_low=-1.1))] == "no effect"
    assert LABELS[label_of(Facts(0.0, total=-1.0, total_low=-0.9))] == "through other tokens"
    assert LABELS[label_of(Facts(-1.0, floor=1.1))] == "no effect"
