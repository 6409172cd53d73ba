"""The stretches of a long prompt that a page holds position by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.planes import Tiles
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View

_TAIL = 4  # widths of the other stretches
_MARGIN = 2  # positions on both sides of a template token


def regions(
    trace: Trace, sections: Sequence[Range], views: Iterable[tuple[View, Tiles]], width: int
) -> list[Range]:
    """Return the ranges of single positions, ascending and without overlap.

    These are `sections`, the tail, the places where the answer begins and where its decisive word
    is, the template's tokens (the last ones where there are many), and for each view the stretches
    of `width` positions with the lowest and the highest mean.
    """
    n = len(trace["role"])
    wanted = [*sections, (max(0, n - _TAIL * width), n)]
    if (split := trace.prompt_tokens) < n:
        wanted.append((max(0, split - width), min(n, split + width)))
    answer = read_answer(trace)
    if answer is not None and answer.decisive is not None and (at := answer.decisive.query) < n:
        wanted.append((max(0, at - width), min(n, at + width)))
    template = np.flatnonzero(np.isin(trace["role"], ("template", "bos", "eos")))[-width:]
    wanted += [(max(0, i - _MARGIN), min(n, i + _MARGIN + 1)) for i in template.tolist()]
    for view, tiled in views:
        wanted += _extremes(view.values, tiled, width)
    return merge_ranges(wanted)


def _extremes(values: np.ndarray, tiled: Tiles, width: int) -> list[Range]:
    """Return the stretches with the lowest and the highest mean over all rows."""
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
    """Return the mean of each column's finite values; NaN where there is none."""
    finite = np.isfinite(values)
    count = finite.sum(0)
    return np.where(count > 0, np.where(finite, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return the same positions in as few ranges as possible, ascending."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out
