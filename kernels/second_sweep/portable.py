"""The second sweep in PyTorch on any device: sums of exact weights, block by block.

With lse known, p_ij = exp(s_ij − lse_i) needs no softmax. No array is larger than the result or one
block of weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score, repeat_heads

_BLOCK = 2**19  # weights alive at once
_QUERIES = 128
_COLUMNS = 512  # whose distances are sorted into bins at once


def _result_dtype(q: Tensor) -> torch.dtype:
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
    """Return p_ij = exp(s_ij − lse_i), or −p ln p, of a rectangle, [B, Hq, rows, cols]."""
    batch, heads, _, dim = q.shape
    kv_heads, length = k.shape[1], rows[1] - rows[0]
    groups = (batch, kv_heads, heads // max(1, kv_heads), length)
    dtype = _result_dtype(q)
    block = q[:, :, rows[0] : rows[1]].to(dtype).reshape(*groups, dim)
    positions = (rows[0] + mask.query_offset, rows[1] + mask.query_offset)
    s = score.compute(block, k[:, :, cols[0] : cols[1]].to(dtype), positions, cols)
    log_p = s.sub_(_base(lse[:, :, rows[0] : rows[1]].to(dtype)).reshape(groups)[..., None])
    if not mask.hides_none(rows, cols):
        hidden = ~mask.visible(rows, cols, s.device)[:, :, None]
        log_p.masked_fill_(hidden, -math.inf)
    if values == "entropy":
        p = log_p.exp()
        p = torch.where(p == 0, 0.0, -p * log_p)
    else:
        p = log_p.exp_()
    return p.view(batch, heads, length, cols[1] - cols[0])


def _base(lse: Tensor) -> Tensor:
    """Return lse, but inf where a row sees no key: then all its weights are 0."""
    return lse.masked_fill(lse == -math.inf, math.inf)


def blocks(
    q: Tensor, k: Tensor, lse: Tensor, values: str, score: Score, mask: Mask
) -> Iterator[tuple[tuple[int, int], tuple[int, int], Tensor]]:
    """Yield each rectangle with a visible key: rows, cols, its weights [B, Hq, rows, cols]."""
    queries = q.shape[2]
    for first in range(0, queries, _QUERIES):
        rows = (first, min(queries, first + _QUERIES))
        width = _block_width(q, rows)
        start, stop = mask.span(*rows)
        for left in range(start, stop, width):
            cols = (left, min(stop, left + width))
            yield rows, cols, window(q, k, lse, rows, cols, values=values, score=score, mask=mask)


def _block_width(q: Tensor, rows: tuple[int, int]) -> int:
    """Return the number of keys in a block for all heads of these queries."""
    batch, heads = q.shape[:2]
    return max(64, _BLOCK // max(1, batch * heads * (rows[1] - rows[0])))


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Return the sum of a tile's values over its number of queries, [B, Hq or 1, Tq, Tk]."""
    batch, heads, queries, _ = q.shape
    shape = (-(-queries // tile[0]), -(-k.shape[2] // tile[1]))
    total = lse.new_zeros(batch, 1 if mean else heads, *shape, dtype=_result_dtype(q))
    has_nan = bool(lse.isnan().any())
    for rows, cols, p in blocks(q, k, lse, values, score, mask):
        part = p.mean(1, keepdim=True) if mean else p
        if tile[0] > 1:
            tile_row = torch.arange(*rows, device=p.device) // tile[0]
            top, bottom = rows[0] // tile[0], (rows[1] - 1) // tile[0] + 1
            if has_nan:  # in a product, 0 · NaN would reach the other tiles
                part = part.new_zeros(*part.shape[:2], bottom - top, part.shape[3]).index_add_(
                    2, tile_row - top, part
                )
            else:  # a product sums the rows of each tile faster than index_add_ does
                is_member = tile_row == torch.arange(top, bottom, device=p.device)[:, None]
                part = is_member.to(part.dtype) @ part
        else:
            top, bottom = rows
        left, right = cols[0] // tile[1], (cols[1] - 1) // tile[1] + 1
        if tile[1] > 1:
            tile_column = torch.arange(*cols, device=p.device) // tile[1] - left
            part = part.new_zeros(*part.shape[:3], right - left).index_add_(-1, tile_column, part)
        total[..., top:bottom, left:right] += part
    counts = torch.full((shape[0],), tile[0], device=total.device)
    if queries:
        counts[-1] = queries - (shape[0] - 1) * tile[0]
    return total / counts[:, None]


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Return Σ_i p_ij of each key, [B, Hq or 1, Nk]."""
    total = lse.new_zeros(q.shape[0], 1 if mean else q.shape[1], k.shape[2], dtype=_result_dtype(q))
    for _, cols, p in blocks(q, k, lse, "weight", score, mask):
        total[..., cols[0] : cols[1]] += p.mean(1, keepdim=True).sum(2) if mean else p.sum(2)
    return total


def at(q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask) -> Tensor:
    """Return p_ij of one key j per query, `keys` [B, Nq], 0 where invisible, [B, Hq, Nq]."""
    _, heads, queries, dim = q.shape
    kv_heads, dtype = k.shape[1], _result_dtype(q)
    visible = mask.visible_pairs(keys)  # [B, Nq]
    inside = keys.clamp(0, max(0, k.shape[2] - 1))
    result = torch.zeros_like(lse, dtype=dtype)
    for first in range(0, queries if k.shape[2] else 0, 8 * _QUERIES):
        part = slice(first, first + 8 * _QUERIES)
        index = inside[:, None, part, None].expand(-1, kv_heads, -1, dim)
        rows = repeat_heads(k.gather(2, index).to(dtype), heads)
        s = (q[:, :, part].to(dtype) * rows).sum(-1) * score.scale
        position = torch.arange(queries, device=q.device)[part] + mask.query_offset
        score.cap(s)
        if score.slopes is not None:
            s -= score.slopes.to(dtype)[:, None] * (position - inside[:, None, part])
        p = (s - _base(lse[:, :, part].to(dtype))).exp()
        result[:, :, part] = torch.where(visible[:, None, part], p, 0.0)
    return result


def by_distance(
    q: Tensor, k: Tensor, lse: Tensor, first_keys: int, score: Score, mask: Mask
) -> Tensor:
    """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins]."""
    total = lse.new_zeros(*lse.shape[:2], 1 + mask.distance_bins, dtype=torch.float64)
    starts = mask.starts(q.device)[:, None, None, None]
    first_end = int(starts.max()) + first_keys if starts.numel() else 0
    has_nan = bool(lse.isnan().any())
    for rows, cols, p in blocks(q, k, lse, "weight", score, mask):
        if cols[0] < first_end:
            key = torch.arange(*cols, device=p.device)
            is_first = (key >= starts) & (key < starts + first_keys)  # [B or 1, 1, 1, cols]
            total[..., 0] += torch.where(is_first, p, 0.0).sum((-1, -2))
            p.masked_fill_(is_first, 0.0)
        at = rows[0] + mask.query_offset - cols[0]
        for left in range(0, p.shape[-1], _COLUMNS):
            part = p[..., left : left + _COLUMNS]
            least, sums = _distance_sums(part, at - left, has_nan)
            total[..., 1 + least : 1 + least + sums.shape[-1]] += sums
    return total.to(_result_dtype(q))


def _distance_sums(p: Tensor, gap: int, has_nan: bool) -> tuple[int, Tensor]:
    """Return the sums of a block in each bin of distances that it has, from bin `least` on.

    p [B, Hq, rows, cols]; gap: i − j of its first weight. Returns least, sums [B, Hq, bins].
    """
    rows, cols = p.shape[-2:]
    low, high = gap - cols + 1, gap + rows - 1  # of i − j
    least, most = (n.bit_length() for n in (max(0, low, -high), max(abs(low), abs(high))))
    if least == most:
        return least, p.sum((-1, -2))[..., None]
    distance = torch.arange(gap, gap + rows, device=p.device)[:, None]
    distance = (distance - torch.arange(cols, device=p.device)).abs()
    _, number = torch.frexp(distance.double())  # how many bits it has
    number = number.flatten() - least
    bins, flat = most - least + 1, p.flatten(-2)
    if has_nan:  # in a product, 0 · NaN would reach the other bins
        sums = flat.new_zeros(*flat.shape[:2], bins)
        return least, sums.index_add_(-1, number, flat)
    is_member = number[:, None] == torch.arange(bins, device=p.device)
    return least, flat @ is_member.to(flat.dtype)


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Return Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]."""
    result = torch.zeros_like(lse, dtype=_result_dtype(q))
    firsts = mask.latest(last, q.device)[:, None, :, None]  # [B or 1, 1, Nq, 1]
    queries = q.shape[2]
    for first in range(0, queries, _QUERIES):
        rows = (first, min(queries, first + _QUERIES))
        row_firsts = firsts[:, :, slice(*rows)]
        start, stop = mask.span(*rows)
        width = _block_width(q, rows)
        for left in range(max(start, int(row_firsts.min())), stop, width):
            cols = (left, min(stop, left + width))
            p = window(q, k, lse, rows, cols, values="weight", score=score, mask=mask)
            is_recent = torch.arange(*cols, device=p.device) >= row_firsts
            result[:, :, slice(*rows)] += torch.where(is_recent, p, 0.0).sum(-1)
    return result
