"""Which stretches of a long prompt a page holds position by position, the most wanted first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.planes import Tiles
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View

_TAIL = 4  # times the width of the other stretches
_MARGIN = 2  # positions beside a token of the template


def regions(
    trace: Trace, asked: Sequence[Range], views: Iterable[tuple[View, Tiles]], width: int
) -> list[Range]:
    """Where to keep single positions: what was asked for, the tail, the template's tokens (the
    last ones where they are many), and for each view the stretches of `width` positions whose mean
    is lowest and highest. Ascending, none overlapping."""
    n = len(trace["role"])
    wanted = [*asked, (max(0, n - _TAIL * width), n)]
    template = np.flatnonzero(np.isin(trace["role"], ("template", "bos", "eos")))[-width:]
    wanted += [(max(0, i - _MARGIN), min(n, i + _MARGIN + 1)) for i in template.tolist()]
    for view, tiled in views:
        wanted += _extremes(view.values, tiled, width)
    return merged(wanted)


def _extremes(values: np.ndarray, tiled: Tiles, width: int) -> list[Range]:
    """The stretches with the lowest and the highest mean over all rows."""
    n = values.shape[1]
    mean = _column_means(tiled.mean)
    if not np.isfinite(mean).any():
        return []
    middles = [
        (int(at) * tiled.step + tiled.step // 2) for at in (np.nanargmin(mean), np.nanargmax(mean))
    ]
    starts = [max(0, min(n - width, middle - width // 2)) for middle in middles]
    return [(start, min(n, start + width)) for start in starts]


def _column_means(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    count = there.sum(0)
    return np.where(count > 0, np.where(there, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same positions in as few ranges as there can be, ascending."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out
