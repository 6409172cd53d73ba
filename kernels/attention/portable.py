"""Attention and its statistics in PyTorch on any device, in blocks: no array is N × N.

The workspace is a few blocks of at most `_BLOCK` scores (float32), whatever the length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.kernels.attention import cpu
from attentropy.kernels.attention.sinks import apply_sinks
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
    result = None
    if cpu.supports(q, k, mask, stats, score):
        result = cpu.attention(
            q.to(exact), k, v, scale=score.scale, mask=mask, entropy="entropy" in stats
        )
    if result is None:
        result = _in_blocks(q, k, v, score, mask, stats)
    apply_sinks(result, sinks, stats)
    return result


def _in_blocks(
    q: Tensor, k: Tensor, v: Tensor, score: Score, mask: Mask, stats: tuple[str, ...]
) -> dict[str, Tensor]:
    result = _run_blocks(q, k, v, score, mask, stats, is_odd=False)
    if _is_odd(result, stats):
        result = _run_blocks(q, k, v, score, mask, stats, is_odd=True)
    return result


def _is_odd(result: dict[str, Tensor], stats: tuple[str, ...]) -> bool:
    """Return whether 0 · NaN or 0 · inf may have reached a row that does not depend on it.

    It never turns into a finite number, so finite results are right.
    """
    out, lse = result["out"], result["lse"]
    if out.is_cuda and torch.cuda.is_current_stream_capturing():
        return False  # a CUDA graph has no place for a look at the values
    means = [result[name] for name in ("entropy", "varentropy") if name in stats]
    if all(math.isfinite(float(x.sum())) for x in (out, *means)):
        return False
    is_poisoned = ~out.sum(-1).isfinite() & ~lse.isnan()
    for mean in means:
        is_poisoned |= mean.isnan() & lse.isfinite()
    return bool(is_poisoned.any())


def _run_blocks(
    q: Tensor, k: Tensor, v: Tensor, score: Score, mask: Mask, stats: tuple[str, ...], *,
    is_odd: bool,
) -> dict[str, Tensor]:  # fmt: skip
    batch, heads, queries, dim = q.shape
    kv_heads = k.shape[1]
    group = heads // max(1, kv_heads)
    exact = k.dtype
    if mask.key_starts is not None or mask.key_lengths is not None:
        v = v.masked_fill(mask.padding(v.device), 0.0)  # padding may be NaN, and 0 · NaN is NaN
    step = max(1, min(_QUERIES, queries))
    width = max(64, _BLOCK // max(1, batch * heads * step))

    def read_rows(first: int, last: int) -> dict[str, Tensor]:
        """Return statistics [B, Hq, rows] and output of the queries first … last − 1."""
        block = q[:, :, first:last].to(exact).reshape(batch, kv_heads, group, last - first, dim)
        start, stop = mask.span(first, last)
        if start == stop:
            return _without_keys(block.flatten(1, 2)[..., 0], v.shape[-1], stats)
        sums = _Sums(stats, is_odd)
        for left in range(start, stop, width):
            right = min(stop, left + width)
            sums.add(block, k, v, score, mask, (first, last), (left, right))
        return {name: part.flatten(1, 2) for name, part in sums.finish().items()}

    if queries <= step:
        return read_rows(0, queries)
    result = {
        name: q.new_empty(batch, heads, queries, dtype=torch.int32 if is_integer(name) else exact)
        for name in (*stats, "lse")
    }
    result["out"] = q.new_empty(batch, heads, queries, v.shape[-1], dtype=exact)
    for first in range(0, queries, step):
        last = min(queries, first + step)
        rows = read_rows(first, last)
        for name in result.keys() & rows.keys():
            result[name][:, :, first:last] = rows[name]
    return result


def _without_keys(like: Tensor, width: int, stats: tuple[str, ...]) -> dict[str, Tensor]:
    """Return what rows [B, Hq, rows] have that see no key; their output has `width` values."""
    values = {name: torch.full_like(like, math.nan) for name in stats}
    if "top_key" in values:
        values["top_key"] = torch.full_like(like, -1, dtype=torch.int32)
    lse = torch.full_like(like, -math.inf)
    return values | {"lse": lse, "out": like.new_zeros(*like.shape, width)}


class _Sums:
    """Running sums of a block of rows [B, Hkv, G, rows], as in the online softmax.

    With z = s − m and m the running maximum: l = Σ e^z, t = Σ e^z z, u = Σ e^z z². When m rises by
    −δ, the sums become those of z + δ, so nothing large is ever subtracted.
    """

    def __init__(self, stats: tuple[str, ...], is_odd: bool) -> None:
        self.stats = stats
        self.is_odd = is_odd  # whether NaN or inf needs care, which takes time
        self._m: Tensor | None = None  # before the first keys
        self._top: Tensor | None = None
        self._sums: dict[str, Tensor] = {}

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
        self._raise_maximum(s, cols[0])
        assert self._m is not None
        z = s.sub_(_finite(self._m)[..., None])
        p = z.exp()
        sums = {"l": p.sum(-1)}
        if {"entropy", "varentropy"} & set(self.stats):
            if self.is_odd:
                z.masked_fill_(p == 0, 0.0)  # of a visible key, too
            elif hidden is not None:
                z.masked_fill_(hidden, 0.0)  # 0 · (−inf) is not 0
            pz = z * p
            sums["t"] = pz.sum(-1)
            if "varentropy" in self.stats:
                sums["u"] = pz.mul_(z).sum(-1)
        if "distance" in self.stats:
            i = torch.arange(*positions, device=s.device)
            j = torch.arange(*cols, device=s.device, dtype=p.dtype) - cols[0]
            sums["distance"] = sums["l"] * (i - cols[0]) - p @ j
        if "sink_mass" in self.stats:
            sums["early"] = _early_mass(p, mask, cols)
        values = v[:, :, cols[0] : cols[1]]
        if self.is_odd:
            visible = None if hidden is None else ~hidden
            sums["acc"] = _weigh_odd(p, values, visible)
        else:
            sums["acc"] = _weigh(p, values)
        for name, part in sums.items():
            self._sums[name] = self._sums[name].add_(part) if name in self._sums else part

    def _raise_maximum(self, s: Tensor, first: int) -> None:
        """Raise the running maximum to that of new scores, which begin at key `first`."""
        highest, column = s.max(-1)
        lowest = self._m
        if "top_key" in self.stats:
            none = torch.full_like(column, -1) if self._top is None else self._top
            rises = highest > (-math.inf if lowest is None else lowest)
            self._top = torch.where(rises, column + first, none)
        if lowest is None:
            self._m = highest
            return
        self._m = torch.maximum(lowest, highest)
        # The sums of a row without a key so far are zero, whatever they are shifted by.
        self._rescale(torch.where(lowest == -math.inf, 0.0, lowest - _finite(self._m)))

    def _rescale(self, shift: Tensor) -> None:
        factor, sums = shift.exp(), self._sums
        if "u" in sums:
            near = shift.clamp_min(-1e4)  # below, the factor is 0 and the square may overflow
            sums["u"] = factor * (sums["u"] + near * (2 * sums["t"] + near * sums["l"]))
        if "t" in sums:
            sums["t"] = factor * (sums["t"] + shift * sums["l"])
        sums["acc"] *= factor[..., None]
        for name in sums.keys() & {"l", "distance", "early"}:
            sums[name] *= factor

    def finish(self) -> dict[str, Tensor]:
        """Return statistics and output; NaN, or −1 for `top_key`, where no key was visible."""
        assert self._m is not None
        sums = self._sums
        empty = sums["l"] == 0
        l = sums["l"].masked_fill(empty, math.nan)
        result: dict[str, Tensor] = {}
        if "entropy" in self.stats:
            result["entropy"] = (l.log() - sums["t"] / l).clamp_min(0.0)
        if "varentropy" in self.stats:
            result["varentropy"] = (sums["u"] / l - (sums["t"] / l) ** 2).clamp_min(0.0)
        if "max_prob" in self.stats:
            result["max_prob"] = 1 / l
        if "max_logit" in self.stats:
            result["max_logit"] = self._m.masked_fill(l.isnan(), math.nan)
        if "distance" in self.stats:
            result["distance"] = sums["distance"] / l
        if "sink_mass" in self.stats:
            result["sink_mass"] = sums["early"] / l
        if self._top is not None:
            result["top_key"] = self._top.masked_fill(l.isnan(), -1).to(torch.int32)
        l = sums["l"].masked_fill(empty, 1.0)
        out = sums["acc"] / l[..., None]
        if self.is_odd:
            out = out.masked_fill(empty[..., None], 0.0)
        return result | {"lse": self._m + l.log(), "out": out}


def _weigh(p: Tensor, v: Tensor) -> Tensor:
    """Return p [B, Hkv, G, rows, cols] @ v [B, Hkv, cols, Dv], [B, Hkv, G, rows, Dv]."""
    batch, heads, group, length, width = p.shape
    out = p.reshape(batch, heads, group * length, width) @ v
    return out.view(batch, heads, group, length, v.shape[-1])


def _weigh_odd(p: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
    """Return the same where v has NaN or inf: only a row that sees a key takes them from it."""
    is_odd = ~v.isfinite().all(-1)  # [B, Hkv, cols]
    out = _weigh(p, v.masked_fill(is_odd[..., None], 0.0))
    for j in is_odd.flatten(0, 1).any(0).nonzero()[:, 0].tolist():
        takes = is_odd[:, :, j, None, None]
        if visible is not None:
            takes = takes & visible[..., j]
        out += torch.where(takes[..., None], p[..., j, None] * v[:, :, None, None, j], 0.0)
    return out


def _finite(m: Tensor) -> Tensor:
    """Return maxima with 0 in place of −inf, which is that of a row without a key."""
    return m.masked_fill(m == -math.inf, 0.0)


def _early_mass(p: Tensor, mask: Mask, cols: tuple[int, int]) -> Tensor:
    """Return the sum of `p` over those of the keys `cols` that are among the first four."""
    if mask.key_starts is None:
        return p[..., : max(0, 4 - cols[0])].sum(-1)
    start, j = mask.starts(p.device), torch.arange(*cols, device=p.device)[None, :]
    early = (j >= start[:, None]) & (j < start[:, None] + 4)  # [B, cols]
    return (p * early[:, None, None, None, :]).sum(-1)
