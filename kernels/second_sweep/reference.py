"""The second sweep by definition: sums over all weights in float64, the oracle of the tests."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.kernels.common import reference
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score


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
    """Return p_ij, or −p ln p, of a rectangle, [B, Hq, rows, cols]."""
    return _weights(q, k, lse, score, mask, values)[:, :, slice(*rows), slice(*cols)]


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Return the sum of a tile's values over its number of queries, [B, Hq or 1, Tq, Tk]."""
    p = _weights(q, k, lse, score, mask, values)
    if mean:
        p = p.mean(1, keepdim=True)
    rows = [part.sum(2) / part.shape[2] for part in p.split(tile[0], 2)]
    stacked = torch.stack(rows, 2) if rows else p
    return torch.stack([part.sum(-1) for part in stacked.split(tile[1], -1)], -1)


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Return Σ_i p_ij of each key, [B, Hq or 1, Nk]."""
    total = _weights(q, k, lse, score, mask, "weight").sum(2)
    return total.mean(1, keepdim=True) if mean else total


def at(q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask) -> Tensor:
    """Return p_ij of one key j per query, `keys` [B, Nq] int64, [B, Hq, Nq]."""
    p = _weights(q, k, lse, score, mask, "weight")
    if k.shape[2] == 0:
        return torch.zeros_like(lse, dtype=torch.float64)
    inside = (keys >= 0) & (keys < k.shape[2])
    index = torch.where(inside, keys, 0)[:, None, :, None].expand(-1, q.shape[1], -1, 1)
    return torch.where(inside[:, None], p.gather(-1, index)[..., 0], 0.0)


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Return Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]."""
    p = _weights(q, k, lse, score, mask, "weight")
    visible = reference.visible(q.shape[0], mask).to(p.device).expand_as(p)
    rank = visible.long().flip(-1).cumsum(-1).flip(-1)  # 1 for the last visible key
    return torch.where(visible & (rank <= last), p, 0.0).sum(-1)


def _weights(q: Tensor, k: Tensor, lse: Tensor, score: Score, mask: Mask, values: str) -> Tensor:
    """Return all weights, or −p ln p, [B, Hq, Nq, Nk] float64."""
    s = reference.scores(q, k, score=score, offset=mask.query_offset)
    base = lse.double().masked_fill(lse == -math.inf, math.inf)  # sees no key: weights of 0
    log_p = s - base[..., None]
    p = torch.where(reference.visible(q.shape[0], mask).to(s.device), log_p.exp(), 0.0)
    return torch.where(p == 0, 0.0, -p * log_p) if values == "entropy" else p


def by_distance(
    q: Tensor, k: Tensor, lse: Tensor, first_keys: int, score: Score, mask: Mask
) -> Tensor:
    """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins]."""
    p = _weights(q, k, lse, score, mask, "weight")
    i = torch.arange(mask.queries, device=p.device)[:, None] + mask.query_offset
    j = torch.arange(mask.keys, device=p.device)
    start = mask.starts(p.device)[:, None, None]
    is_first = (j >= start) & (j < start + first_keys)  # [B or 1, 1, keys]
    _, bins = torch.frexp((i - j).abs().double())  # the number of bits of the distance
    column = torch.where(is_first, 0, 1 + bins)[:, None]  # [B or 1, 1, queries, keys]
    columns = range(1 + mask.distance_bins)
    return torch.stack([torch.where(column == n, p, 0.0).sum((-1, -2)) for n in columns], -1)
