"""Sum up what the queries of each tile attend to, head by head: the heads' thumbnails.

Nothing here imports torch: what a run would keep can be computed anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.thumbnails import THUMBNAIL_TILES, encode_mass

# By default thumbnails are kept up to so many tokens and heads, all layers together.
THUMBNAIL_TOKENS = 32_768
THUMBNAIL_HEADS = 1024


def keeps_thumbnails(value: bool | None, tokens: int, heads: int, *, is_swept: bool) -> bool:
    """Return whether a run keeps the thumbnails of `heads` heads, all layers together.

    value: what the caller said; None for the default. is_swept: whether the sweep that gives them
    is taken anyway.
    """
    if value is not None:
        return value and heads > 0
    return is_swept and tokens <= THUMBNAIL_TOKENS and 0 < heads <= THUMBNAIL_HEADS


def thumbnail_side(tokens: int, tall: int | None) -> int:
    """Return the tokens of a tile: as few as make at most 32 tiles on a side.

    tall: queries of a tile of the attention map, which comes from the same sweep; one of the two
    is then a multiple of the other.
    """
    least = max(1, -(-tokens // THUMBNAIL_TILES))
    if tall is None or tall >= tokens:
        return least
    if tall <= least:
        return -(-least // tall) * tall
    return next(side for side in range(least, tall + 1) if tall % side == 0)


class ThumbnailSums:
    """Sums of each tile's weights over its queries; `values` are their means, as bytes.

    heads: the number of heads of each entry (an attention call of a layer), 0 for one that is not
    recorded. head_list: the heads that are kept, None for the mean over all.
    """

    def __init__(
        self, tokens: int, side: int, heads: Sequence[int], head_list: Sequence[int] | None
    ) -> None:
        self.tokens, self.side = tokens, side
        self.head_list = None if head_list is None else tuple(head_list)
        self.tiles = -(-tokens // side)
        count = 1 if self.head_list is None else len(self.head_list)
        self._sums = np.zeros((len(heads), count, self.tiles, self.tiles), np.float32)

    def heads_of(self, entry_heads: int) -> list[int]:
        """Return which heads are kept of an entry with so many."""
        return [head for head in self.head_list or () if head < entry_heads]

    def add(self, entry: int, queries: np.ndarray, masses: np.ndarray) -> None:
        """Add masses [kept heads, rows, tiles], whose rows begin at these queries, ascending."""
        add_rows(self._sums[entry, : len(masses)], queries // self.side, masses)

    def values(self) -> np.ndarray:
        """Return each tile's mean mass, uint8 [entry, head, row, column]; see `encode_mass`."""
        counts = np.full(self.tiles, self.side, np.float32)
        counts[-1] = self.tokens - self.side * (self.tiles - 1)
        return encode_mass(self._sums / counts[:, None])

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the first token of each tile, of queries and of keys."""
        firsts = np.arange(0, self.tokens, self.side)
        return {"tile_q": firsts, "tile_k": firsts}

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of the sums so far, to be saved."""
        return {"thumbnail": self._sums.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what `state` returned."""
        self._sums[...] = state["thumbnail"]


def sweep_height(tall: int | None, side: int | None, tokens: int) -> int:
    """Return the queries of a row that one sweep sums for both the map and the thumbnails."""
    heights = [height for height in (tall, side) if height is not None and height < tokens]
    return math.gcd(*heights) or tokens


def add_rows(total: np.ndarray, at: np.ndarray, values: np.ndarray) -> None:
    """Add values [heads, rows, columns] to rows `at` of a total, which ascend and may repeat."""
    firsts = np.flatnonzero(np.diff(at, prepend=-1))
    total[:, at[firsts], : values.shape[2]] += np.add.reduceat(values, firsts, 1)
