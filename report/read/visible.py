"""How many keys each query may see, and how far an unfinished run came."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import for_sentence

_MOST_LINES = 4096  # straight lines per layer

VisibleLines = list[list[list[int]]]  # per layer, lines of [first position, keys there, rise]


class RunProgress(TypedDict):
    """How far an unfinished run came, in tokens, and why it stopped."""

    tokens: int
    done: int
    reason: str


def visible_keys(trace: Trace) -> VisibleLines | None:
    """Return how many keys each query sees, as straight lines per layer.

    None where the counts were not recorded, or make too many lines.
    """
    if "visible" not in trace or not trace["visible"].size:
        return None
    layers = []
    for counts in trace["visible"].astype(np.int64):
        rise = np.diff(counts)
        # A line begins where the rise is not that of the step before.
        starts = np.concatenate([[0], np.flatnonzero(np.diff(rise)) + 1])
        if starts.size > _MOST_LINES:
            return None
        slope = rise[np.minimum(starts, rise.size - 1)] if rise.size else np.zeros(1, int)
        layers.append(np.stack([starts, counts[starts], slope], -1).tolist())
    return layers


def run_progress(trace: Trace) -> RunProgress | None:
    """Return how far an unfinished run came; None for a finished one."""
    state = trace.attrs.get("partial")
    if not isinstance(state, dict):
        return None
    done, answered = state.get("done"), state.get("answered")
    if isinstance(done, int) and isinstance(answered, int):
        done += answered
    reason, tokens = state.get("reason"), int(trace.dataset.sizes["position"])
    return {
        "tokens": tokens,
        "done": max(0, min(done, tokens)) if isinstance(done, int) else 0,
        "reason": for_sentence(str(reason), 200) if reason else "",
    }


def is_causal(trace: Trace) -> bool:
    """Return whether no query of the window puts weight on a later key."""
    if "window" not in trace:
        return True
    later = trace["window_key"][None, :] > trace["window_query"][:, None]
    for layer in trace.dataset["window"]:
        if (np.nan_to_num(layer[0].values) * later > 0).any():
            return False
    return True
