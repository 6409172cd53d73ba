"""The key that each query attends to most, apart from sink keys where the trace says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOP_KEY_WITHOUT_SINKS
from attentropy.report.compare.difference import Difference


def leaves_sinks_out(trace: Trace) -> bool:
    """Return whether `top_keys`, or a comparison's most attended keys, leave sink keys out."""
    if isinstance(trace, Difference):
        return trace.leaves_sinks_out
    return TOP_KEY_WITHOUT_SINKS in trace


def hidden_keys(trace: Trace, entry: int) -> list[int]:
    """Return the sink keys of a layer that the most attended keys leave out, in order."""
    if not leaves_sinks_out(trace) or "sink_keys" not in trace:
        return []
    return [int(key) for key in np.flatnonzero(trace["sink_keys"][entry] > 0)]


def top_keys(trace: Trace, *at: Any) -> np.ndarray:
    """Return the most attended keys at [layer, head, query], −1 where no key is visible.

    Sink keys are left out where the run hid them. A query at a sink key, and one that sees none
    else, has the key that it attends to most of all.
    """
    keys: np.ndarray = trace.dataset["top_key"][at].values
    if not leaves_sinks_out(trace):
        return keys
    others = trace.dataset[TOP_KEY_WITHOUT_SINKS][at].values
    return np.where(others >= 0, others, keys)
