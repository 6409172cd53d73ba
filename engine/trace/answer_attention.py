"""The attention mass that an answer puts on each unit of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.readable import Readable
from attentropy.engine.trace.schema import REQUESTED_WINDOWS
from attentropy.engine.trace.types import Array


@dataclass(frozen=True)
class AnswerAttention:
    """The mean weight of the answer's tokens on each unit, [layer, head, unit] float64.

    heads: their numbers, -1 for the mean over heads.
    """

    heads: Array
    masses: Array


def answer_attention(trace: Readable, numbers: Array, units: int) -> AnswerAttention | None:
    """Return what the answer attends to; None where the trace does not have it.

    A mass is the sum of the weights over the unit's tokens, averaged over the tokens of the answer.
    It is taken from `answer_attention`, or from the exact weights of a window that has rows of the
    answer. numbers: the unit of each position, -1 for none. A unit has NaN unless the weights on
    all its tokens are there.
    """
    if "answer_attention" in trace:
        variable = trace.dataset["answer_attention"]
        masses = np.empty((*variable.shape[:2], units))
        for layer in range(len(masses)):
            weights = np.asarray(variable[layer].values, np.float64)
            masses[layer] = _sums(weights, numbers, units)
        return AnswerAttention(trace["answer_head"], masses)
    is_generated = trace.is_generated
    for end in ("", *map(str, REQUESTED_WINDOWS)):
        if f"window{end}" in trace:
            rows = np.flatnonzero(is_generated[trace[f"window_query{end}"]])
            if rows.size:
                masses = _masses_of_window(trace, end, rows, numbers, units)
                return AnswerAttention(trace[f"window_head{end}"], masses)
    return None


def _masses_of_window(
    trace: Readable, end: str, rows: Array, numbers: Array, units: int
) -> Array:  # fmt: skip
    variable, keys = trace.dataset[f"window{end}"], trace[f"window_key{end}"]
    masses = np.empty((*variable.shape[:2], units))
    for layer in range(len(masses)):
        weights = np.full((variable.shape[1], len(numbers)), np.nan)
        weights[:, keys] = np.asarray(variable[layer].values, np.float64)[:, rows].mean(-2)
        masses[layer] = _sums(weights, numbers, units)
    return masses


def _sums(weights: Array, numbers: Array, units: int) -> Array:
    """Return the sums of weights [head, position] over each unit, [head, unit]."""
    inside = np.flatnonzero(numbers >= 0)
    return np.stack([np.bincount(numbers[inside], row[inside], units) for row in weights])
