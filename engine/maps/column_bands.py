"""One sweep over a pass for all that sums its weights: bands of rows, each one key wide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.weights import ALIVE_BYTES
from attentropy.kernels.sweep import attention_map


@dataclass(frozen=True)
class Band:
    """Sums of weights over rows of `height` queries each, from query `first` of the prompt on.

    masses [heads or 1, rows, keys]; the first of the keys is token `first_key`. The last row may
    have fewer queries.
    """

    first: int
    height: int
    masses: Tensor
    first_key: int

    @property
    def queries(self) -> np.ndarray:
        """The first query of each row, [rows]."""
        return self.first + self.height * np.arange(self.masses.shape[1])

    def in_tiles(self, masses: Tensor, width: int) -> np.ndarray:
        """Return masses [heads, rows, keys] added up over tiles of `width` keys from token 0 on."""
        left, before = divmod(self.first_key, width)
        after = -(before + masses.shape[-1]) % width
        padded = torch.nn.functional.pad(masses, (before, after))
        tiles = padded.unflatten(-1, (-1, width)).sum(-1).float().cpu().numpy()
        return np.pad(tiles, ((0, 0), (0, 0), (left, 0)))


def column_bands(here: SequenceCall, height: int, *, per_head: bool) -> Iterator[Band]:
    """Yield the sums of a pass over rows of `height` queries, counted from token 0.

    So many rows are taken at once as `ALIVE_BYTES` has room for; the first one has fewer queries
    where the pass begins within it. Without `per_head` the sums are the mean over heads.
    """
    start, stop = here.rows
    heads = here.query.shape[1] if per_head else 1
    alive = max(1, ALIVE_BYTES // (4 * heads * here.visibility.mask.keys))
    first = start
    while first < stop:
        rows = 1 if first % height else alive
        last = min(stop, (first // height + rows) * height)
        part = here.part(first - start, last - start)
        means = attention_map(
            part.query, part.key, part.lse, tile=(height, 1),
            heads="all" if per_head else "mean", **part.where,
        )[0]  # [heads, rows, keys]  # fmt: skip
        counts = torch.full((means.shape[1], 1), float(height), device=means.device)
        counts[-1] = last - first - height * (means.shape[1] - 1)
        yield Band(first, height, means * counts, here.visibility.first_key)
        first = last
