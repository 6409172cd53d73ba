"""How many keys each query may see."""

from __future__ import annotations

from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import named


def visible_keys(trace: Trace) -> list[list[list[int]]] | None:
    """How many keys each query sees, as straight lines [first position, keys there, rise] a layer;
    None where that is not recorded, or in no few lines."""
    if "visible" not in trace or not trace["visible"].size:
        return None
    found = []
    for counts in trace["visible"].astype(np.int64):
        rise = np.diff(counts)
        # A line begins where the rise is not that of the step before.
        starts = np.concatenate([[0], np.flatnonzero(np.diff(rise)) + 1])
        if starts.size > _MOST_SEGMENTS:
            return None
        slope = rise[np.minimum(starts, rise.size - 1)] if rise.size else np.zeros(1, int)
        found.append(np.stack([starts, counts[starts], slope], -1).tolist())
    return found


def partial(trace: Trace) -> dict[str, Any] | None:
    """How far a run came that did not end: tokens, done, reason."""
    state = trace.attrs.get("partial")
    if not isinstance(state, dict):
        return None
    done = state.get("done")
    reason = state.get("reason")
    return {
        "tokens": trace.dataset.sizes["position"],
        "done": done if isinstance(done, int) else 0,
        "reason": named(str(reason), 200) if reason else "",
    }


def is_causal(trace: Trace) -> bool:
    """Whether no query of the window puts weight on a later key."""
    if "window" not in trace:
        return True
    later = trace["window_key"][None, :] > trace["window_query"][:, None]
    for layer in trace.dataset["window"]:
        if (np.nan_to_num(layer[0].values) * later > 0).any():
            return False
    return True


_MOST_SEGMENTS = 4096
