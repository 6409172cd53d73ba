"""Predict what the tests of an answer's sources take."""

from __future__ import annotations

from typing import TypedDict

from attentropy.engine.cost.options import CostOptions
from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.cost.speed import CALLS, Rates, between_products
from attentropy.engine.sources.cost import Speed, expected_for, together

# Products of few rows wait for the weights, which are read and not written, in small blocks; those
# of many are a little faster than the rates say, which have smaller matrices too.
_READ, _MANY_ROWS = 2.5, 0.8
_SCORE_BYTES = 60  # read and written per score of the readings' attention


class SourcesPrediction(TypedDict):
    """What the tests of sources take after the run: readings of the answer, and seconds."""

    passes: int
    seconds: float


def reading_speed(
    size: ModelSize, tokens: int, steps: int, itemsize: int, rates: Rates, *, sweeps: int = 1
) -> Speed:
    """Return the speed of readings of an answer of `steps` tokens behind a prompt.

    sweeps: how often all scores are computed.
    """
    head = size.width * size.vocabulary
    weights = (size.active + head) * itemsize
    start = _READ * weights / rates.copied + size.layers * CALLS
    sliding, window = size.sliding
    keys = sliding * min(tokens, window) + (size.layers - sliding) * tokens
    moved = between_products(size, itemsize) + sweeps * size.heads * keys * _SCORE_BYTES
    row = _MANY_ROWS * 2.0 * (size.active + head) / rates.product + moved / rates.copied
    return Speed(row, tokens, steps, start, together(steps, steps, size.vocabulary))


def predict_sources(
    size: ModelSize, run: RunSize, options: CostOptions, rates: Rates
) -> SourcesPrediction | None:
    """Return what the tests take; None where the options do not name any, or there is no answer.

    The prompt itself is not known: another one of the same length may need more or fewer.
    """
    if options.test_sources in (None, False, "none") or not run.answer:
        return None
    workload = expected_for(run.tokens, size.layers)
    pace = reading_speed(size, run.tokens, run.answer, run.itemsize, rates)
    return {"passes": workload.tests, "seconds": round(workload.seconds(pace), 3)}
