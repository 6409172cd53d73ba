"""The second sweep on a CPU, by the C code: each sum is one of tiles of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.native.call import sum_distances, sum_tiles
from attentropy.kernels.native.library import loaded
from attentropy.kernels.second_sweep import portable

at = portable.at  # one key per query is no product of matrices


def window(
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
    """Return p_ij = exp(s_ij − lse_i), or −p ln p, of a rectangle, [B, Hq, rows, cols]."""
    return sum_tiles(
        loaded(), q, k, lse, (1, 1), score=score, mask=mask, rows=rows, cols=cols,
        entropies=values == "entropy",
    )  # fmt: skip


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Return the sum of a tile's values over its number of queries, [B, Hq or 1, Tq, Tk]."""
    entropies = values == "entropy"
    total = sum_tiles(
        loaded(), q, k, lse, tile, score=score, mask=mask, mean=mean, entropies=entropies
    )
    first = torch.arange(0, q.shape[2], tile[0])
    counts = (first + tile[0]).clamp_max(q.shape[2]) - first
    return total.div_(counts[:, None])


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Return Σ_i p_ij of each key, [B, Hq or 1, Nk]."""
    tile = (max(1, q.shape[2]), 1)
    return sum_tiles(loaded(), q, k, lse, tile, score=score, mask=mask, mean=mean).sum(2)


def by_distance(
    q: Tensor, k: Tensor, lse: Tensor, first_keys: int, score: Score, mask: Mask
) -> Tensor:
    """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins]."""
    return sum_distances(loaded(), q, k, lse, first_keys, score=score, mask=mask).float()


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Return Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]."""
    latest, tile = mask.latest(last, q.device), (1, max(1, k.shape[2]))
    return sum_tiles(loaded(), q, k, lse, tile, score=score, mask=mask, latest=latest).sum(-1)
