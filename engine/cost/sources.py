"""Predict what the tests of an answer's sources take."""

from __future__ import annotations

from typing import TypedDict

from attentropy.engine.cost.options import CostOptions
from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.cost.speed import StageSeconds
from attentropy.engine.sources.cost import expected_for, speed


class SourcesPrediction(TypedDict):
    """What the tests of sources take after the run: readings of the answer, and seconds."""

    passes: int
    seconds: float


def predict_sources(
    size: ModelSize, run: RunSize, options: CostOptions, stages: StageSeconds
) -> SourcesPrediction | None:
    """Return what the tests take; None where the options do not name any, or there is no answer.

    The prompt itself is not known: another one of the same length may need more or fewer.
    """
    if options.test_sources in (None, False, "none") or not run.answer:
        return None
    workload = expected_for(run.tokens, size.layers)
    pace = speed(stages["read_the_prompt"], run.tokens, run.answer)
    return {"passes": workload.tests, "seconds": round(workload.seconds(pace), 3)}
