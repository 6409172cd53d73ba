"""What `hopper_lazy` computes, step by step in float32 and PyTorch: no machine but a GPU runs it.

Blocks, tiles, warps, lanes and thread-local sums are the kernel's own; so are the constants and the
order of the tiles. The products' order of summation and the last bit of exp2 are not. The kernel
that finds top keys runs itself, in Triton's interpreter.
"""

from __future__ import annotations

import math

import torch

from attentropy.kernels.attention import hopper_constants, hopper_top_key
from attentropy.kernels.common import tiles
from attentropy.kernels.common.triton_online import FLOOR as _FLOOR
from attentropy.kernels.common.triton_scores import HIDDEN as _HIDDEN

LANES, ROWS, RISE, SINK_KEYS, BITS = (
    getattr(hopper_constants, name).value for name in ("LANES", "ROWS", "RISE", "SINK_KEYS", "BITS")
)
FLOOR, HIDDEN = _FLOOR.value, _HIDDEN.value
LN2, LOG2E = math.log(2), math.log2(math.e)
_WARP = 16  # rows of a warp
_THREADS = 4  # that share a row: each has two adjacent lanes


def _high(x, dim):
    """Return maxima as the machine has them: NaN is dropped."""
    return x.masked_fill(x.isnan(), -math.inf).amax(dim)


class _Group:
    """The sums of a warp group's 64 rows, [64, LANES] each."""

    def __init__(self, c, values):
        zeros = torch.zeros(ROWS, LANES)
        self.c = torch.tensor(c)
        self.m, self.high = (zeros + FLOOR for _ in range(2))
        self.l, self.t, self.u, self.far = (zeros.clone() for _ in range(4))
        self.tile = torch.full((ROWS, LANES), -1)
        self.acc = torch.zeros(ROWS, values)
        self.weights = None  # of the tile before
        self.raised = 0

    def add(self, s, j, far_from, values):
        """Add tile j of scores [64, BN]; `values` [BN, D] are those of the tile before."""
        c = self.c
        x = s.view(ROWS, -1, LANES)
        top = _high(x, 1)
        self.tile = torch.where(top >= self.high, j, self.tile)
        self.high = torch.fmax(self.high, top)
        m, l, t = self.m, self.l, self.t
        factor = self._raise(top)
        shift = (self.m * c)[:, None]
        z = (x.double() * c.double() - shift.double()).float()  # fused: rounded once
        p = torch.exp2(z)
        near = torch.fmax((m - self.m) * c, torch.tensor(-1e4))
        self.u = factor * (self.u + near * (2 * t + near * l)) + (p * z * z).sum(1)
        self.t = self.t + (p * z).sum(1)
        total = p.sum(1)
        self.l = self.l + total
        ahead = (torch.arange(x.shape[1]) * LANES).float()[:, None]
        self.far = factor * self.far + total * far_from + (p * ahead).sum(1)
        if self.weights is not None:
            self.acc = self.acc + self.weights.float() @ values
        self.acc = self.acc * factor[:, :1]
        self.weights = p.view(ROWS, -1)

    def _raise(self, top):
        """Raise m of the warps in which some thread's maximum rose by more than RISE."""
        threads = _high(top.view(ROWS, _THREADS, 2), 2)
        rises = (threads - self.m[:, :1]) > RISE / self.c
        votes = rises.view(ROWS // _WARP, -1).any(1).repeat_interleave(_WARP)[:, None]
        self.raised += int(votes.sum())
        m = torch.where(votes, torch.fmax(_high(threads, 1)[:, None], self.m), self.m)
        delta = (self.m - m) * self.c
        factor = torch.where(votes, torch.exp2(delta), 1.0)
        self.t = torch.where(votes, (delta * self.l + self.t) * factor, self.t)
        self.l = torch.where(votes, self.l * factor, self.l)
        self.m = m
        return factor


def attention(
    q, k, v, tile, *, scale, causal=True, offset=None, starts=None, lengths=None, sinks=None
):
    """Return every result of `hopper_lazy` and `hopper_top_key`, and how often rows were raised."""
    batch, heads, queries, dim = q.shape
    keys = k.shape[2]
    offset = keys - queries if offset is None else offset
    names = ("lse", "entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass")
    results = {name: torch.full((batch, heads, queries), math.nan) for name in names}
    results["top_key"] = torch.full((batch, heads, queries), -77, dtype=torch.int32)
    results["out"] = torch.full((batch, heads, queries, dim), math.nan)
    if sinks is not None:
        results["sink_prob"] = torch.full((batch, heads, queries), math.nan)
    if lengths is not None:  # as the launch does
        first = torch.zeros(batch) if starts is None else starts
        n = torch.arange(keys)
        padding = (n < first[:, None]) | (n >= (first + lengths)[:, None])
        v = v.masked_fill(padding[:, None, :, None], 0.0)
    raised = 0
    step = tile.groups * ROWS
    for b in range(batch):
        start = 0 if starts is None else int(starts[b])
        limit = keys if lengths is None else min(keys, start + int(lengths[b]))
        lo, early = max(start, 0), SINK_KEYS + min(start, 0)
        counts = max(limit - lo, 0), early, offset - lo
        for h in range(heads):
            own = (x[b, h * k.shape[1] // heads, lo:] for x in (k, v))
            sink = None if sinks is None else sinks[h]
            for first in range(0, queries, step):
                raised += _block(
                    q[b, h], *own_tiles(*own, tile.keys), first, tile, counts, causal,
                    scale * LOG2E, sink, {name: x[b, h] for name, x in results.items()},
                )  # fmt: skip
                own = (x[b, h * k.shape[1] // heads, lo:] for x in (k, v))
    width = tiles.padded_size(dim)
    block = 256  # of queries: the interpreter takes as long for one
    grid = (-(-queries // block), heads, batch)
    padding = [None if x is None else x.to(torch.int32) for x in (starts, lengths)]
    hopper_top_key.resolve[grid](
        q.float(), k.float(), results["top_key"], *padding, *q.stride(), *k.stride(), heads,
        queries, keys, offset, heads // k.shape[1], D=dim, BD=width, BM=block, BN=tile.keys,
        CAUSAL=causal,
    )  # fmt: skip
    return results, raised


def own_tiles(k, v, size):
    """Return keys and values with zeros after the last one, up to a multiple of the tile."""
    rest = -len(k) % size + size
    return tuple(torch.nn.functional.pad(x, (0, 0, 0, rest)) for x in (k, v))


def _block(q, k, v, first, tile, counts, causal, c, sink, results):
    """Fill the rows of a block of one head; return how many rows of its groups were raised."""
    keys, _, offset = counts
    queries = len(q)
    hi, full = keys, keys
    if causal:
        hi = min(keys, offset + min(queries, first + tile.groups * ROWS))
        full = min(keys, max(offset + first + 1, 0))
    count = -(-max(hi, 1) // tile.keys)
    masked = max(count - full // tile.keys, 1)
    raised = 0
    for at in range(first, first + tile.groups * ROWS, ROWS):
        rows = torch.arange(at, at + ROWS)
        b_q = torch.nn.functional.pad(q[at : at + ROWS], (0, 0, 0, ROWS - len(q[at : at + ROWS])))
        group = _Group(c, v.shape[-1])
        for j in range(count):
            n = (count - 1 - j) * tile.keys
            s = b_q.float() @ k[n : n + tile.keys].float().T
            if j < masked:
                end = torch.full((ROWS,), keys)
                if causal:
                    end = torch.minimum(end, offset + rows + 1)
                s = torch.where(torch.arange(n, n + tile.keys) < end[:, None], s, HIDDEN)
            before = v[n + tile.keys : n + 2 * tile.keys].float()
            group.add(s, j, float(n - first), before)
            group.weights = group.weights.to(v.dtype)
        group.acc = group.acc + group.weights.float() @ v[: tile.keys].float()
        s_first = b_q.float() @ k[:16].float().T
        _store(group, s_first, rows, first, count, counts, causal, c, sink, results)
        raised += group.raised
    return raised


def _store(group, s_first, rows, first, count, counts, causal, c, sink, results):
    """Write what `hopper_results` makes of the sums."""
    keys, early, offset = counts
    a = offset + rows
    end = torch.full_like(a, min(keys, early))
    if causal:
        end = torch.minimum(end, a + 1)
    z = s_first.double() * c - group.m[:, :1].double() * c
    p = torch.where(torch.arange(16) < end[:, None], torch.exp2(z.float()), 0.0)
    l, t, u = (x.sum(1) for x in (group.l, group.t, group.u))
    far = (group.far + torch.arange(LANES).float() * group.l).sum(1)
    high = _high(group.high, 1)
    shift = _high(group.m, 1) * torch.tensor(c)
    lse = LN2 * (shift + l.log2())
    h = l.log2() - t / l
    h = LN2 * torch.where(h < 0, 0.0, h)
    if causal:
        h = torch.where(torch.minimum(torch.tensor(keys), a + 1) == 1, h - h, h)
    var = u / l - (t / l) ** 2
    highest = group.high == high[:, None]
    tile = torch.where(highest, group.tile, -1).amax(1)
    bits = torch.where(highest & (group.tile == tile[:, None]), 1 << torch.arange(LANES), 0).sum(1)
    largest = torch.exp2((high.double() * c - shift.double()).float()) / l
    some = l > 0
    numbers = {
        "lse": lse, "entropy": h, "varentropy": LN2**2 * torch.where(var < 0, 0.0, var),
        "distance": (a - first).float() - far / l, "sink_mass": p.sum(1) / l,
        "max_prob": torch.where(some, largest, math.nan),
        "max_logit": torch.where(some, LN2 * (high * torch.tensor(c)), math.nan),
        "top_key": torch.where(some, (count - 1 - tile) * BITS + bits, -1).int(),
    }  # fmt: skip
    share = 1 / l
    if sink is not None:
        numbers["sink_prob"] = 1 / (1 + torch.exp2((lse - sink) * LOG2E))
        share = share * (1 - numbers["sink_prob"])
    numbers["out"] = torch.where((l == 0)[:, None], 0.0, group.acc * share[:, None])
    inside = rows < len(results["lse"])
    for name, values in numbers.items():
        results[name][rows[inside]] = values[inside].to(results[name].dtype)
