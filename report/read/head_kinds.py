"""Of how many heads are local, sinks or wide: what a long text is read with, in three numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.maps.head_scores import SCORES
from attentropy.engine.trace.dataset import Trace

WIDE = 0.5  # mean normalized entropy: as many keys as the root of those that are visible


@dataclass(frozen=True)
class HeadKinds:
    """How many of `heads` attention heads are of each kind; a head is of one kind or of none."""

    heads: int
    sink: int
    local: int
    wide: int


def head_kinds(trace: Trace) -> HeadKinds | None:
    """Return how many heads are sinks, local and wide; None where a score was not measured.

    A head is a sink above a `sink` score of 0.3; else local above a `local` score of 0.9; else wide
    from a mean normalized entropy of 0.5 on.
    """
    names = ("head_sink", "head_local", "head_diffuse")
    if any(name not in trace for name in names):
        return None
    sink, local, diffuse = (trace[name].astype(np.float64) for name in names)
    is_measured = np.isfinite(sink) & np.isfinite(local) & np.isfinite(diffuse)
    if not is_measured.any():
        return None
    is_sink = is_measured & (sink > _threshold("sink"))
    is_local = is_measured & ~is_sink & (local > _threshold("local"))
    is_wide = is_measured & ~is_sink & ~is_local & (diffuse >= WIDE)
    counts = (int(one.sum()) for one in (is_measured, is_sink, is_local, is_wide))
    return HeadKinds(*counts)


def _threshold(name: str) -> float:
    limit = SCORES[name].threshold
    assert limit is not None
    return limit
