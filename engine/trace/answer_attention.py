"""The attention mass that an answer puts on each unit of a text."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.readable import Readable
from attentropy.engine.trace.schema import REQUESTED_WINDOWS
from attentropy.engine.trace.types import Array


def answer_attention(trace: Readable, numbers: Array, units: int) -> Array | None:
    """Return the mean weight of generated tokens on each unit, [layer, window_head, unit] float64.

    A mass is the sum of the weights over the unit's tokens, averaged over the generated tokens
    whose exact weights the trace has. numbers: the unit of each position, -1 for none. A unit has
    NaN unless the weights on all its tokens are there. None where no window has generated rows.
    """
    is_generated = trace.is_generated
    for end in ("", *map(str, REQUESTED_WINDOWS)):
        if f"window{end}" not in trace:
            continue
        rows = np.flatnonzero(is_generated[trace[f"window_query{end}"]])
        if rows.size:
            return _masses(trace, end, rows, numbers, units)
    return None


def _masses(trace: Readable, end: str, rows: Array, numbers: Array, units: int) -> Array:
    variable = trace.dataset[f"window{end}"]
    keys = trace[f"window_key{end}"]
    of_keys = numbers[keys]
    inside = np.flatnonzero(of_keys >= 0)
    present = np.bincount(of_keys[inside], minlength=units)
    needed = np.bincount(numbers[numbers >= 0], minlength=units)
    masses = np.zeros((*variable.shape[:2], units))
    for layer in range(variable.shape[0]):
        weights = np.asarray(variable[layer].values, np.float64)[:, rows][..., inside]
        for head, row in enumerate(weights.mean(-2)):
            masses[layer, head] = np.bincount(of_keys[inside], row, units)
    masses[..., present < needed] = np.nan
    return masses
