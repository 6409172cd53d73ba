"""The histogram next to the legend: how many of the values shown have which colour.

The page's script counts the same in `data/histogram.js`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from attentropy.report.figures.specification import Rows
from attentropy.report.scale import Scale

BINS = 32


def bars(shown: Iterable[np.ndarray], scale: Scale) -> Rows:
    """Return a bar per step of the scale, from low to high; `share` is 1 for the longest."""
    counts = np.zeros(BINS, np.int64)
    for values in shown:
        places = scale.at(values[np.isfinite(values)])
        counts += np.bincount(np.minimum(BINS - 1, (places * BINS).astype(int)), minlength=BINS)
    most = counts.max()
    return [
        {"y0": i / BINS, "y1": (i + 1) / BINS, "share": round(float(count / most), 4)}
        for i, count in enumerate(counts.tolist())
        if count
    ]
