"""What an implementation of the second sweep offers: the functions of each module, typed."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score


class SecondSweep(Protocol):
    """A module that sums exact weights p_ij = exp(s_ij − lse_i), 0 where i does not see j.

    q is [B, Hq, Nq, D], k [B, Hkv, Nk, D], lse [B, Hq, Nq]; all arguments are checked.
    """

    def window(
        self,
        q: Tensor,
        k: Tensor,
        lse: Tensor,
        rows: tuple[int, int],
        cols: tuple[int, int],
        *,
        values: str,
        score: Score,
        mask: Mask,
    ) -> Tensor:
        """Return p_ij, or −p ln p, of a rectangle, [B, Hq, rows, cols]."""

    def tile_mass(
        self, q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool,
        score: Score, mask: Mask,
    ) -> Tensor:  # fmt: skip
        """Return the sum of a tile's values over its number of queries, [B, Hq or 1, Tq, Tk]."""

    def received(
        self, q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask
    ) -> Tensor:
        """Return Σ_i p_ij of each key, [B, Hq or 1, Nk]."""

    def at(
        self, q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask
    ) -> Tensor:
        """Return p_ij of one key j per query, `keys` [B, Nq] int64, [B, Hq, Nq]."""

    def by_distance(
        self, q: Tensor, k: Tensor, lse: Tensor, first_keys: int, score: Score, mask: Mask
    ) -> Tensor:
        """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins]."""

    def recent(
        self, q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask
    ) -> Tensor:
        """Return Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]."""
