"""One label per span and word: what hiding the span says of the word."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attentropy.engine.trace.sources import LABELS

(
    SOURCE, ALSO_THERE, THROUGH_OTHERS, WORKS_AGAINST, ATTENDED, SINK, NOT_TESTED, NO_EFFECT,
) = range(len(LABELS))  # fmt: skip
HALF = math.log(2)  # an effect below −ln 2 makes the word less than half as probable
FLOOR = 0.1  # nats: no smaller effect counts
BAND = (0.8, 0.2)  # of a source's effect: left where it is still to be read, and where it was
_TIMES_NOISE = 3


@dataclass(frozen=True)
class Facts:
    """What is known of a span and a word.

    Effects and the limits of their controls in nats, NaN for what was not tested and for no
    control. is_own: whether `with_copies` is the span's own (see `is_own`), None where that is not
    known.
    """

    with_copies: float
    is_own: bool | None = True
    total: float = math.nan
    low: float = math.nan
    high: float = math.nan
    total_low: float = math.nan
    floor: float = FLOOR
    is_sink: bool = False
    is_also_there: bool = False
    is_attended: bool = False


def floor_of(noise: float) -> float:
    """Return the effect that is the least to count, of readings with this noise."""
    return max(FLOOR, _TIMES_NOISE * noise)


def is_below(effect: float, low: float, floor: float) -> bool:
    """Return whether an effect is below −ln 2, control and floor; a control of NaN is none."""
    return effect < -HALF and effect < -floor and not effect >= low


def is_above(effect: float, high: float, floor: float) -> bool:
    """Return whether an effect is above ln 2, control and floor; a control of NaN is none."""
    return effect > HALF and effect > floor and not effect <= high


def is_own(direct: float, with_copies: float, copies: float, floor: float) -> bool | None:
    """Return whether the effect of a span with its copies is the span's and not the copies' alone.

    Without a word that the answer restates, its next word can lose its grammar, whatever the span
    says. None where the direct effect does not decide and the copies were not tested alone.
    """
    if is_below(direct, math.nan, floor):
        return True
    return None if math.isnan(copies) else with_copies - copies < -HALF


def label_of(facts: Facts) -> int:
    """Return the number of the first label that applies, among `LABELS`; a sink is never tested."""
    if facts.is_sink:
        return SINK
    if math.isnan(facts.with_copies):
        return NOT_TESTED
    if is_below(facts.with_copies, facts.low, facts.floor):
        if facts.is_own is None:
            return NOT_TESTED
        if facts.is_own:
            return SOURCE
    if facts.is_also_there:
        return ALSO_THERE
    if is_below(facts.total, facts.total_low, facts.floor):
        return THROUGH_OTHERS
    if is_above(facts.with_copies, facts.high, facts.floor):
        return WORKS_AGAINST
    return ATTENDED if facts.is_attended else NO_EFFECT
