"""Attention and its statistics in PyTorch on any device, in blocks: no array is N × N.

The workspace is a few blocks of at most `_BLOCK` scores (float32), whatever the length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.kernels.attention import cpu
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import is_integer

# Scores alive at once; few enough that the steps of a block run in the processor's caches.
_BLOCK = 2**19
_QUERIES = 128


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    score: Score,
    mask: Mask,
    sinks: Tensor | None,
    stats: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq].

    All are float32 (float64 for such inputs), the top key int32.
    """
    exact = torch.float64 if q.dtype == torch.float64 else torch.float32
    k, v = k.to(exact), v.to(exact)
    if cpu.supports(q, k, mask, stats, score):
        result = cpu.attention(
            q.to(exact), k, v, scale=score.scale, mask=mask, entropy="entropy" in stats
        )
    else:
        result = _in_blocks(q, k, v, score, mask, stats)
    if sinks is not None:
        sink_prob = torch.sigmoid(sinks.to(exact)[None, :, None] - result["lse"])
        result["out"] *= (1 - sink_prob)[..., None]
        if "sink_prob" in stats:
            result["sink_prob"] = sink_prob
    return result


def _in_blocks(
    q: Tensor, k: Tensor, v: Tensor, score: Score, mask: Mask, stats: tuple[str, ...]
) -> dict[str, Tensor]:
    batch, heads, queries, _ = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    exact = k.dtype
    if mask.key_starts is not None or mask.key_lengths is not None:
        v = v.masked_fill(mask.padding(v.device), 0.0)  # padding may be NaN, and 0 · NaN is NaN
    result = {
        name: q.new_empty(batch, heads, queries, dtype=torch.int32 if is_integer(name) else exact)
        for name in (*stats, "lse")
    }
    out = q.new_empty(batch, heads, queries, v.shape[-1], dtype=exact)
    step = max(1, min(_QUERIES, queries))
    width = max(64, _BLOCK // max(1, batch * heads * step))
    for first in range(0, queries, step):
        last = min(queries, first + step)
        block = q[:, :, first:last].to(exact).view(batch, kv_heads, group, last - first, -1)
        sums = _Sums(block, v.shape[-1], stats)
        start, stop = mask.span(first, last)
        for left in range(start, stop, width):
            right = min(stop, left + width)
            sums.add(block, k, v, score, mask, (first, last), (left, right))
        rows = sums.finish()
        out[:, :, first:last] = rows.pop("out").view(batch, heads, last - first, -1)
        for name in result.keys() & rows.keys():
            result[name][:, :, first:last] = rows[name].view(batch, heads, last - first)
    return result | {"out": out}


class _Sums:
    """Running sums of a block of rows [B, Hkv, G, rows], as in the online softmax.

    With z = s − m and m the running maximum: l = Σ e^z, t = Σ e^z z, u = Σ e^z z². When m rises by
    −δ, the sums become those of z + δ, so nothing large is ever subtracted.
    """

    def __init__(self, block: Tensor, width: int, stats: tuple[str, ...]) -> None:
        rows = block.shape[:-1]
        self.stats = stats
        self.m = block.new_full(rows, -math.inf)
        self.l = block.new_zeros(rows)
        self.acc = block.new_zeros(*rows, width)
        self.t = block.new_zeros(rows) if {"entropy", "varentropy"} & set(stats) else None
        self.u = block.new_zeros(rows) if "varentropy" in stats else None
        self.distance = block.new_zeros(rows) if "distance" in stats else None
        self.early = block.new_zeros(rows) if "sink_mass" in stats else None
        self.top = (
            torch.full(rows, -1, dtype=torch.int64, device=block.device)
            if "top_key" in stats
            else None
        )

    def add(
        self,
        block: Tensor,
        k: Tensor,
        v: Tensor,
        score: Score,
        mask: Mask,
        rows: tuple[int, int],
        cols: tuple[int, int],
    ) -> None:
        """Add the keys `cols` (start, stop) to the queries `rows`."""
        positions = (rows[0] + mask.query_offset, rows[1] + mask.query_offset)
        s = score.compute(block, k[:, :, cols[0] : cols[1]], positions, cols)
        hidden = None
        if not mask.hides_none(rows, cols):
            hidden = ~mask.visible(rows, cols, s.device)[:, :, None]  # [B or 1, 1, 1, rows, cols]
            s.masked_fill_(hidden, -math.inf)
        highest, column = s.max(-1)
        m = torch.maximum(self.m, highest)
        finite_m = torch.where(m == -math.inf, 0.0, m)
        # The sums of a row without a key so far are zero, whatever they are shifted by.
        shift = torch.where(self.m == -math.inf, 0.0, self.m - finite_m)
        self._rescale(shift)
        if self.top is not None:
            self.top = torch.where(highest > self.m, column + cols[0], self.top)
        self.m = m
        z = s.sub_(finite_m[..., None])
        p = z.exp()
        self.l += p.sum(-1)
        if self.t is not None:
            if hidden is not None:
                z.masked_fill_(hidden, 0.0)  # 0 · (−inf) is not 0
            pz = z * p
            self.t += pz.sum(-1)
            if self.u is not None:
                self.u += pz.mul_(z).sum(-1)
        if self.distance is not None:
            i = torch.arange(*positions, device=s.device)
            j = torch.arange(*cols, device=s.device, dtype=p.dtype) - cols[0]
            self.distance += p.sum(-1) * (i - cols[0]) - p @ j
        if self.early is not None:
            self._add_early(p, mask, cols)
        batch, heads, group, length, width = p.shape
        values = p.view(batch, heads, group * length, width) @ v[:, :, cols[0] : cols[1]]
        self.acc += values.view_as(self.acc)

    def _rescale(self, shift: Tensor) -> None:
        factor = shift.exp()
        if self.u is not None:
            assert self.t is not None
            self.u = factor * (self.u + shift * (2 * self.t + shift * self.l))
        if self.t is not None:
            self.t = factor * (self.t + shift * self.l)
        self.l = factor * self.l
        self.acc *= factor[..., None]
        if self.distance is not None:
            self.distance *= factor
        if self.early is not None:
            self.early *= factor

    def _add_early(self, p: Tensor, mask: Mask, cols: tuple[int, int]) -> None:
        assert self.early is not None
        start = mask.starts(p.device)
        if int(start.min()) >= cols[1] or int(start.max()) + 4 <= cols[0]:
            return
        j = torch.arange(*cols, device=p.device)[None, :]
        early = (j >= start[:, None]) & (j < start[:, None] + 4)  # [B or 1, cols]
        self.early += (p * early[:, None, None, None, :]).sum(-1)

    def finish(self) -> dict[str, Tensor]:
        """Return statistics and output; NaN, or −1 for `top_key`, where no key was visible."""
        empty = self.l == 0
        l = torch.where(empty, 1.0, self.l)
        stats: dict[str, Tensor] = {}
        if self.t is not None:
            stats["entropy"] = (l.log() - self.t / l).clamp_min(0.0)
        if self.u is not None:
            assert self.t is not None
            stats["varentropy"] = (self.u / l - (self.t / l) ** 2).clamp_min(0.0)
        if "max_prob" in self.stats:
            stats["max_prob"] = 1 / l
        if self.distance is not None:
            stats["distance"] = self.distance / l
        if self.early is not None:
            stats["sink_mass"] = self.early / l
        stats = {name: values.masked_fill(empty, math.nan) for name, values in stats.items()}
        if self.top is not None:
            stats["top_key"] = self.top
        return stats | {"lse": self.m + l.log(), "out": self.acc / l[..., None]}
