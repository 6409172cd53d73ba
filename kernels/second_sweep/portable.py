"""The second sweep in plain PyTorch on any device: sums of exact weights, in blocks.

Conditioned on lse, p_ij = exp(s_ij − lse_i) needs no softmax. Nothing larger than the result and
one block of weights is ever alive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from attentropy.kernels.attention.portable import Score
from attentropy.kernels.common.mask import Mask

_BLOCK = 2**19
_QUERIES = 128


def _exact(q: Tensor) -> torch.dtype:
    return torch.float64 if q.dtype == torch.float64 else torch.float32


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
    """p_ij = exp(s_ij − lse_i), or −p ln p, of a rectangle, [B, Hq, rows, cols]."""
    batch, heads, _, dim = q.shape
    kv_heads = k.shape[1]
    exact = _exact(q)
    part = q[:, :, rows[0] : rows[1]].to(exact)
    block = part.reshape(batch, kv_heads, heads // kv_heads, -1, dim)
    at = (rows[0] + mask.query_offset, rows[1] + mask.query_offset)
    s = score.of(block, k[:, :, cols[0] : cols[1]].to(exact), at, cols)
    given = lse[:, :, rows[0] : rows[1]].to(exact).view(batch, kv_heads, heads // kv_heads, -1)
    log_p = s.sub_(given[..., None])
    if not mask.hides_none(rows, cols):
        hidden = ~mask.visible(rows, cols, s.device)[:, :, None]
        log_p.masked_fill_(hidden, -math.inf)
    if values == "entropy":
        p = log_p.exp()
        p = torch.where(p > 0, -p * log_p, 0.0)
    else:
        p = log_p.exp_()
    return p.view(batch, heads, rows[1] - rows[0], cols[1] - cols[0])


def blocks(
    q: Tensor, k: Tensor, lse: Tensor, values: str, score: Score, mask: Mask
) -> Iterator[tuple[tuple[int, int], tuple[int, int], Tensor]]:
    """Every rectangle with a visible key: rows, cols, its weights [B, Hq, rows, cols]."""
    batch, heads, queries, _ = q.shape
    for first in range(0, queries, _QUERIES):
        rows = (first, min(queries, first + _QUERIES))
        width = max(64, _BLOCK // max(1, batch * heads * (rows[1] - rows[0])))
        start, stop = mask.span(*rows)
        for left in range(start, stop, width):
            cols = (left, min(stop, left + width))
            yield rows, cols, window(q, k, lse, rows, cols, values=values, score=score, mask=mask)


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Σ of the values in each tile / its number of queries, [B, Hq or 1, Nq / tile, Nk / tile]."""
    batch, heads, queries, _ = q.shape
    shape = (-(-queries // tile[0]), -(-k.shape[2] // tile[1]))
    total = lse.new_zeros(batch, 1 if mean else heads, *shape, dtype=_exact(q))
    for rows, cols, p in blocks(q, k, lse, values, score, mask):
        part = p.mean(1, keepdim=True) if mean else p
        if tile[0] > 1:  # a product sums the rows of each tile faster than index_add_ does
            down = torch.arange(*rows, device=p.device) // tile[0]
            top, bottom = rows[0] // tile[0], (rows[1] - 1) // tile[0] + 1
            member = down == torch.arange(top, bottom, device=p.device)[:, None]
            part = member.to(part.dtype) @ part
        else:
            top, bottom = rows
        left, right = cols[0] // tile[1], (cols[1] - 1) // tile[1] + 1
        if tile[1] > 1:
            across = torch.arange(*cols, device=p.device) // tile[1] - left
            part = part.new_zeros(*part.shape[:3], right - left).index_add_(-1, across, part)
        total[..., top:bottom, left:right] += part
    counts = torch.full((shape[0],), tile[0], device=total.device)
    if queries:
        counts[-1] = queries - (shape[0] - 1) * tile[0]
    return total / counts[:, None]


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Σ_i p_ij of each key, [B, Hq or 1, Nk]."""
    total = lse.new_zeros(q.shape[0], 1 if mean else q.shape[1], k.shape[2], dtype=_exact(q))
    for _, cols, p in blocks(q, k, lse, "weight", score, mask):
        total[..., cols[0] : cols[1]] += p.mean(1, keepdim=True).sum(2) if mean else p.sum(2)
    return total


def at(q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask) -> Tensor:
    """p_ij of one key j per query, `keys` [B, Nq], 0 where it is not seen: [B, Hq, Nq]."""
    _, heads, queries, dim = q.shape
    kv_heads, exact = k.shape[1], _exact(q)
    seen = mask.visible_pairs(keys)  # [B, Nq]
    inside = keys.clamp(0, max(0, k.shape[2] - 1))
    result = torch.zeros_like(lse, dtype=exact)
    for first in range(0, queries if k.shape[2] else 0, 8 * _QUERIES):
        part = slice(first, first + 8 * _QUERIES)
        index = inside[:, None, part, None].expand(-1, kv_heads, -1, dim)
        chosen = k.gather(2, index).to(exact).repeat_interleave(heads // kv_heads, 1)
        s = (q[:, :, part].to(exact) * chosen).sum(-1) * score.scale
        position = torch.arange(queries, device=q.device)[part] + mask.query_offset
        score.cap(s)
        if score.slopes is not None:
            s -= score.slopes.to(exact)[:, None] * (position - inside[:, None, part])
        p = (s - lse[:, :, part].to(exact)).exp()
        result[:, :, part] = torch.where(seen[:, None, part], p, 0.0)
    return result


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]."""
    result = torch.zeros_like(lse, dtype=_exact(q))
    firsts = mask.latest(last, q.device)[:, None, :, None]  # [B or 1, 1, Nq, 1]
    queries = q.shape[2]
    for first in range(0, queries, _QUERIES):
        rows = (first, min(queries, first + _QUERIES))
        since = firsts[:, :, slice(*rows)]
        start, stop = mask.span(*rows)
        width = max(64, _BLOCK // max(1, q.shape[0] * q.shape[1] * (rows[1] - rows[0])))
        for left in range(max(start, int(since.min())), stop, width):
            cols = (left, min(stop, left + width))
            p = window(q, k, lse, rows, cols, values="weight", score=score, mask=mask)
            late = torch.arange(*cols, device=p.device) >= since
            result[:, :, slice(*rows)] += torch.where(late, p, 0.0).sum(-1)
    return result
