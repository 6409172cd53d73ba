"""Vocabulary statistics in PyTorch on any device, in blocks of rows and of the vocabulary.

No logits are stored: at most four blocks of `_ROWS` × `_COLUMNS` logits are alive at once. They
stay in a processor's cache, so that mostly the products take time. A block has the same rows of
all layers: these are one product, and the last layer's logits, from which each layer's divergence
is measured, are computed once for all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.kernels.vocabulary.ranking import TargetRanks, TopLogits, correct_ranks, in_order

_ROWS, _COLUMNS = 1024, 512
_FLOOR = -1e30  # of a row's maximum


class _Head:
    """The unembedding with its bias, scale and softcap: hidden states [n, d] to logits."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None
    ) -> None:
        self.weight, self.bias, self.scale, self.softcap = weight, bias, scale, softcap

    def block(self, hidden: Tensor, left: int, right: int, out: Tensor) -> Tensor:
        """Return the logits [n, right − left] of the entries from `left` on, in `out`."""
        torch.mm(hidden, self.weight[left:right].to(hidden.dtype).T, out=out)
        return self._bend(out, None if self.bias is None else self.bias[left:right])

    def at(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Return the logits [n, T] of each row's own entries `ids` [n, T]."""
        raw = hidden.new_empty(ids.shape)
        for i in range(ids.shape[1]):  # one at a time: [n, T, d] could be larger than the logits
            raw[:, i] = torch.linalg.vecdot(self.weight[ids[:, i]].to(hidden.dtype), hidden)
        return self._bend(raw, None if self.bias is None else self.bias[ids])

    def _bend(self, raw: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None:
            raw += bias.to(raw.dtype)
        if self.scale != 1.0:
            raw *= self.scale
        if self.softcap is not None:
            raw.div_(self.softcap).tanh_().mul_(self.softcap)
        return raw


class _RowSums:
    """The running maximum m, l = Σ e^z and t = Σ e^z·z of each row, z its logits minus m."""

    def __init__(self, hidden: Tensor) -> None:
        self.m = hidden.new_full((len(hidden),), -math.inf)
        self.l, self.t = hidden.new_zeros(len(hidden)), hidden.new_zeros(len(hidden))

    def move(self, high: Tensor) -> Tensor:
        """Raise the maximum to `high` [n] where that is larger; return old minus new, ≤ 0.

        Finite after the first block: a block of −inf alone must not give −inf − (−inf).
        """
        m = torch.maximum(self.m, high).clamp_min(_FLOOR)
        shift = torch.where(self.m == -math.inf, 0.0, self.m - m)
        self.m = m
        return shift

    def add(self, p: Tensor, z: Tensor, shift: Tensor) -> None:
        """Add a block's p = e^z and z (overwritten), once z moved by `shift`."""
        factor = shift.exp()
        self.t = factor * (self.t + shift * self.l) + z.mul_(p).sum(-1)
        self.l = factor * self.l + p.sum(-1)


class _Final:
    """The last layer's rows [M, d], and what a block of the vocabulary adds to their sums.

    z: their logits in the block minus the running maximum m [M]; p: e^z; shift: what the block
    moved m by. A divergence needs Σ p·(z − y) for each layer's own y; l is Σ p of earlier blocks.
    is_read: whether the block's last M rows are these very rows, so that they have their logits.
    """

    def __init__(self, hidden: Tensor, head: _Head, width: int, is_read: bool) -> None:
        self.hidden, self.head, self.is_read = hidden, head, is_read
        self.sums = _RowSums(hidden)
        self.space = hidden.new_empty(1 if is_read else 2, len(hidden) * width)
        self.z = self.p = self.shift = hidden

    def read(self, left: int, right: int, z: Tensor, shift: Tensor) -> None:
        """Take in a block, once for all layers, which have the logits z and moved by `shift`."""
        rows = len(self.hidden)
        self.p, *own = self.space[:, : rows * (right - left)].view(
            len(self.space), rows, right - left
        )
        if self.is_read:
            self.z, self.shift = z[len(z) - rows :], shift[len(z) - rows :]
        else:
            self.z = self.head.block(self.hidden, left, right, out=own[0])
            self.shift = self.sums.move(self.z.amax(-1))
            self.z -= self.sums.m[:, None]
        torch.exp(self.z, out=self.p)

    def add(self) -> None:
        """Add the block to l, once all layers have used it."""
        self.sums.l = self.shift.exp() * self.sums.l + self.p.sum(-1)


class _Divergence:
    """The running t = Σ e^z·(z − y) of each layer's rows, [layers · M], y their own logits."""

    def __init__(self, hidden: Tensor, final: _Final) -> None:
        self.final = final
        self.t = hidden.new_zeros(len(hidden) // max(1, len(final.hidden)), len(final.hidden))

    def add(self, y: Tensor, shift: Tensor, spare: Tensor, is_odd: bool) -> None:
        """Add a block's y, once it moved by `shift` [layers · M]; `spare` is overwritten."""
        final = self.final
        shape = (*self.t.shape, y.shape[-1])
        gap = torch.sub(final.z, y.view(shape), out=spare.view(shape))
        if is_odd:
            gap.masked_fill_(final.p == 0, 0.0)
        moved = self.t + (final.shift - shift.view(self.t.shape)) * final.sums.l
        self.t = final.shift.exp() * moved + gap.mul_(final.p).sum(-1)

    def mean(self, log_l: Tensor) -> Tensor:
        """Return KL(P_final ‖ P) of all rows; log_l: ln Σ e^y of each."""
        l = self.final.sums.l
        return ((self.t / l - l.log()).flatten() + log_l).clamp_min(0.0)


def vocabulary(
    hidden: Tensor,
    unembedding: Tensor,
    *,
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
    top_k: int,
    targets: Tensor | None,
    final: Tensor | None,
) -> dict[str, Tensor]:
    """Return entropy, lse, kl [N]; top-k [N, k]; target statistics [N, T]: `VocabularyResult`."""
    exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    head = _Head(unembedding, bias, scale, softcap)
    layers = 1 if final is None or not len(final) else len(hidden) // len(final)
    by_layer = hidden.unflatten(0, (layers, -1))
    count = by_layer.shape[1]
    step = max(1, _ROWS // layers)
    parts = []
    for first in range(0, max(1, count), step):
        rows = slice(first, first + step)
        ids = None
        if targets is not None:
            ids = targets.unflatten(0, (layers, -1))[:, rows].flatten(0, 1)
            ids = ids.to(hidden.device, torch.int64)
        block = (
            by_layer[:, rows].flatten(0, 1).to(exact),
            head,
            top_k,
            ids,
            None if final is None else final[rows].to(exact),
        )
        part = _rows(*block)
        if _is_odd(part):
            part = _rows(*block, is_odd=True)
        parts.append({name: value.unflatten(0, (layers, -1)) for name, value in part.items()})
    return {name: torch.cat([part[name] for part in parts], 1).flatten(0, 1) for name in parts[0]}


def _is_odd(part: dict[str, Tensor]) -> bool:
    """Return whether 0 · (−inf), which is NaN, has reached a mean."""
    means = [part[name] for name in ("entropy", "kl") if name in part]
    return any(bool((mean.isnan() & part["lse"].isfinite()).any()) for mean in means)


def _rows(
    hidden: Tensor, head: _Head, top_k: int, targets: Tensor | None, final: Tensor | None, *,
    is_odd: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the statistics of one block of rows; `is_odd`: some of its logits are −inf.

    hidden: the rows of one layer after the other, each as many as `final` has.
    """
    rows, size = len(hidden), len(head.weight)
    width = min(size, _COLUMNS * max(1, _ROWS // max(1, rows)))
    space = hidden.new_empty(2, rows * width)
    sums, top = _RowSums(hidden), TopLogits(hidden, top_k)
    last = None
    if final is not None:
        last = _Final(final, head, width, torch.equal(hidden[rows - len(final) :], final))
    divergence = None if last is None else _Divergence(hidden, last)
    rank = None if targets is None else TargetRanks(head.at(hidden, targets), targets)
    for left in range(0, size, width):
        right = min(size, left + width)
        z, spare = space[:, : rows * (right - left)].view(2, rows, right - left)
        head.block(hidden, left, right, out=z)
        high = top.add(z, left)
        if rank is not None:
            rank.add(z, left, spare)
        shift = sums.move(high)
        z -= sums.m[:, None]
        if last is not None and divergence is not None:
            last.read(left, right, z, shift)
            divergence.add(z, shift, spare, is_odd)
            last.add()
        torch.exp(z, out=spare)
        if is_odd:
            z.masked_fill_(spare == 0, 0.0)
        sums.add(spare, z, shift)
    return _results(sums, top, rank, divergence)


def _results(
    sums: _RowSums, top: TopLogits, rank: TargetRanks | None, divergence: _Divergence | None
) -> dict[str, Tensor]:
    """Return the statistics once the whole vocabulary is read."""
    log_l = sums.l.log()
    lse = (sums.m + log_l).masked_fill(sums.l == 0, math.nan)  # no logit above −inf
    result = {
        "entropy": (log_l - sums.t / sums.l).clamp_min(0.0),
        "lse": lse,
        "top_ids": in_order(top.ids, lse).int(),
        "top_logprobs": top.values - sums.m[:, None] - log_l[:, None],
    }
    if divergence is not None:
        result["kl"] = divergence.mean(log_l)
    if rank is not None:
        result["target_logprob"] = rank.target_logits - sums.m[:, None] - log_l[:, None]
        result["target_rank"] = correct_ranks(rank.count, top.ids, rank.targets, lse).int()
    return result
