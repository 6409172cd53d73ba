"""The same numbers in plain PyTorch on any device, in blocks: no array grows with N × N.

The workspace is a few blocks of at most `_BLOCK` scores (float32), whatever the length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.kernels.attention import cpu as processor
from attentropy.kernels.common.mask import Mask

# Scores alive at once; small enough that a block's passes run in the processor's caches.
_BLOCK = 2**19
_QUERIES = 128


@dataclass(frozen=True)
class Score:
    """What turns q · k into a score: scale, then softcap, then ALiBi's slopes [Hq]."""

    scale: float
    softcap: float | None = None
    slopes: Tensor | None = None

    def of(self, q: Tensor, k: Tensor, rows: tuple[int, int], cols: tuple[int, int]) -> Tensor:
        """q [B, Hkv, G, rows, D], k [B, Hkv, cols, D] to [B, Hkv, G, rows, cols]; `rows` and
        `cols` are the absolute positions that the slopes need."""
        batch, heads, group, length, dim = q.shape
        s = q.reshape(batch, heads, group * length, dim) @ k.transpose(-1, -2)
        s = s.view(batch, heads, group, length, k.shape[2]).mul_(self.scale)
        self.cap(s)
        if self.slopes is not None:
            i = torch.arange(*rows, device=s.device)[:, None]
            j = torch.arange(*cols, device=s.device)[None, :]
            slopes = self.slopes.to(s.dtype).view(heads, group)
            s -= slopes[None, :, :, None, None] * (i - j)
        return s

    def cap(self, s: Tensor) -> Tensor:
        """The softcap, in place."""
        if self.softcap is not None:
            s.div_(self.softcap).tanh_().mul_(self.softcap)
        return s


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
    """Output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq], in float32 (float64 for such inputs)."""
    exact = torch.float64 if q.dtype == torch.float64 else torch.float32
    k, v = k.to(exact), v.to(exact)
    bent = score.softcap is not None or score.slopes is not None
    if processor.takes(q, k, mask, stats, bent):
        result = processor.attention(
            q.to(exact), k, v, scale=score.scale, mask=mask, entropy="entropy" in stats
        )
    else:
        result = _in_blocks(q, k, v, score, mask, stats)
    if sinks is not None:
        sink_prob = torch.sigmoid(sinks.to(exact)[None, :, None] - result["lse"])
        result["out"] *= (1 - sink_prob)[..., None]
        if "sink_prob" in stats:
            result["sink_prob"] = sink_prob
    if "top_key" in result:
        result["top_key"] = result["top_key"].int()
    return result


def _in_blocks(
    q: Tensor, k: Tensor, v: Tensor, score: Score, mask: Mask, stats: tuple[str, ...]
) -> dict[str, Tensor]:
    batch, heads, queries, _ = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    exact = k.dtype
    if mask.key_starts is not None or mask.key_lengths is not None:
        v = v.masked_fill(mask.padding(v.device), 0.0)  # it may hold anything, and 0 · NaN is NaN
    names = [*dict.fromkeys((*stats, "lse"))]
    result = {name: q.new_empty(batch, heads, queries, dtype=exact) for name in names}
    out = q.new_empty(batch, heads, queries, v.shape[-1], dtype=exact)
    step = max(1, min(_QUERIES, queries))
    width = max(64, _BLOCK // max(1, batch * heads * step))
    for first in range(0, queries, step):
        last = min(queries, first + step)
        block = q[:, :, first:last].to(exact).view(batch, kv_heads, group, last - first, -1)
        state = _Sums(block, v.shape[-1], stats)
        start, stop = mask.span(first, last)
        for left in range(start, stop, width):
            right = min(stop, left + width)
            state.add(block, k, v, score, mask, (first, last), (left, right))
        done = state.finish()
        out[:, :, first:last] = done.pop("out").view(batch, heads, last - first, -1)
        for name in names:
            if name in done:
                result[name][:, :, first:last] = done[name].view(batch, heads, last - first)
    return result | {"out": out}


class _Sums:
    """Running sums of a block of rows [B, Hkv, G, rows]: the online form of definitions.md.

    With z = s − m and m the running maximum: l = Σ e^z, t = Σ e^z z, u = Σ e^z z². When m rises by
    −δ, the sums are those of z + δ, so nothing large is ever subtracted.
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
        """Take in the keys `cols` (start, stop)."""
        at = (rows[0] + mask.query_offset, rows[1] + mask.query_offset)
        s = score.of(block, k[:, :, cols[0] : cols[1]], at, cols)
        hidden = None
        if not mask.hides_none(rows, cols):
            hidden = ~mask.visible(rows, cols, s.device)[:, :, None]  # [B or 1, 1, 1, rows, cols]
            s.masked_fill_(hidden, -math.inf)
        highest, where = s.max(-1)
        m = torch.maximum(self.m, highest)
        safe = torch.where(m == -math.inf, 0.0, m)
        # Rows that have seen no key yet have all sums zero, whatever they are shifted by.
        shift = torch.where(self.m == -math.inf, 0.0, self.m - safe)
        self._rescale(shift)
        if self.top is not None:
            self.top = torch.where(highest > self.m, where + cols[0], self.top)
        self.m = m
        z = s.sub_(safe[..., None])
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
            i = torch.arange(*at, device=s.device)
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
        """Statistics and output; NaN, or −1 for `top_key`, where no key was visible."""
        empty = self.l == 0
        l = torch.where(empty, 1.0, self.l)
        done = {"lse": self.m + l.log(), "out": self.acc / l[..., None]}
        if self.t is not None:
            done["entropy"] = (l.log() - self.t / l).clamp_min(0.0)
        if self.u is not None:
            assert self.t is not None
            done["varentropy"] = (self.u / l - (self.t / l) ** 2).clamp_min(0.0)
        if "max_prob" in self.stats:
            done["max_prob"] = 1 / l
        if self.distance is not None:
            done["distance"] = self.distance / l
        if self.early is not None:
            done["sink_mass"] = self.early / l
        for name in set(done) - {"lse", "out"}:
            done[name] = done[name].masked_fill(empty, math.nan)
        if self.top is not None:
            done["top_key"] = self.top
        return done
