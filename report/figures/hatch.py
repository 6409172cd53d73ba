"""Diagonal lines where values are missing: white on grey; where only some are, grey on the colour.

The lines are one picture over a view, a pixel of it for each pixel on the screen. Where all
positions of a column are missing, thin white lines lie on the grey of missing values. Where some
are, grey lines cover as much of the colour as is missing, so that nobody takes the mean of one
position in 32 for that of all. The page's script draws the same in `data/hatch.js`.
"""

from __future__ import annotations

import numpy as np

from attentropy.report.figures.readable_rows import RowLayout
from attentropy.report.figures.specification import Rows
from attentropy.report.images import data_uri, png
from attentropy.report.palette import MISSING

PERIOD = 6  # pixels from line to line
_CLEAR, _LINE, _COVER = range(3)
_TABLE = np.array(
    [[0, 0, 0, 0], [255, 255, 255, 255], [*bytes.fromhex(MISSING[1:]), 255]], np.uint8
)


def hatch(
    values: np.ndarray,
    layout: RowLayout,
    first: int,
    step: int,
    width: int,
    height: int,
    *,
    has_thin: bool = False,
) -> Rows:
    """Return the picture over values [row, position] as a dataset; none where nothing is missing.

    `first` is the first position, `step` the number of positions per column, `width` and `height`
    are the view's pixels. Collapsed rows show no values, so none are missing there, but where
    `has_thin` says that they do.
    """
    shares = _shares(values, step)
    if not has_thin:
        shares[[row for row in range(len(shares)) if layout.is_thin(row)]] = 1
    if (shares == 1).all():
        return []
    edges = np.array(layout.edges)
    at = (height - np.arange(height) - 0.5) * layout.total / height  # from the bottom
    rows = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(shares) - 1)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(int) // step
    pixels = lines(shares[rows][:, columns])
    stop = first + values.shape[1]
    return [
        {"x0": first, "x1": stop, "y0": 0, "y1": layout.total,
         "url": data_uri(png(pixels, _TABLE))}
    ]  # fmt: skip


def lines(shares: np.ndarray) -> np.ndarray:
    """Return what covers each pixel, 0 nothing, 1 a white line, 2 grey, from shares of values."""
    y, x = np.indices(shares.shape)
    phase = (x + y) % PERIOD
    clear = np.clip(np.rint(shares * PERIOD), 1, PERIOD - 1)
    partial = np.where(phase < clear, _CLEAR, _COVER)
    empty = np.where(phase == 0, _LINE, _CLEAR)
    covers: np.ndarray = np.where(shares == 0, empty, np.where(shares < 1, partial, _CLEAR))
    return covers.astype(np.uint8)


def _shares(values: np.ndarray, step: int) -> np.ndarray:
    """Return the share of the positions of each column that have a value, [row, column]."""
    starts = np.arange(0, values.shape[1], step)
    finite = np.add.reduceat(np.isfinite(values).astype(np.int64), starts, axis=1)
    sizes = np.diff(np.append(starts, values.shape[1]))
    shares: np.ndarray = finite / sizes
    return shares
