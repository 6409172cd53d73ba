"""The thumbnails of the heads, as far as the trace has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace


def thumbnails_of(trace: Trace, heads: Sequence[int]) -> np.ndarray | None:
    """Return the bytes of the columns' thumbnails, [layer, column, row, tile]; None without them.

    A head that was not recorded has zeros.
    """
    if "thumbnail" not in trace:
        return None
    values = trace["thumbnail"]
    recorded = {int(head): i for i, head in enumerate(trace["head"])}
    pictures = np.zeros((len(values), len(heads), *values.shape[2:]), np.uint8)
    for column, head in enumerate(heads):
        if head in recorded:
            pictures[:, column] = values[:, recorded[head]]
    return pictures
