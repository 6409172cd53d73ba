"""Vocabulary statistics in PyTorch on any device, in blocks of rows and of the vocabulary.

No logits are stored: at most three blocks of `_ROWS` × `_COLUMNS` logits are alive at once. They
stay in a processor's cache, so that mostly the products take time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROWS, _COLUMNS = 1024, 1024
_FLOOR = -1e30  # of a row's maximum
_GROUP = 16  # columns of a block whose maximum the top k compare first


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


class _Top:
    """The k largest logits of each row so far, [n, k], descending, the lower of equal ids first."""

    def __init__(self, hidden: Tensor, k: int) -> None:
        self.k = k
        self.values = hidden.new_empty(len(hidden), 0)
        self.ids = torch.empty(len(hidden), 0, dtype=torch.int64, device=hidden.device)

    def add(self, logits: Tensor, left: int) -> Tensor:
        """Add a block whose ids are higher than all before; return the maxima of its rows [n].

        Only rows that improve are searched, and in these only the groups of columns with the k
        largest maxima: no other group has one of the k largest logits.
        """
        n, width = logits.shape
        # Group g has the columns g, g + groups, …
        groups = width // _GROUP if width % _GROUP == 0 else width
        peaks = logits.view(n, width // groups, groups).amax(1)
        high = peaks.amax(-1)
        if not self.k:
            return high
        if left < self.k:  # the first entries, whatever their logits
            values, columns = self._largest(logits, slice(None), peaks)
            self.values, self.ids = self._merge(slice(None), values, columns + left)
            return high
        rows = (high > self.values[:, -1]).nonzero()[:, 0]
        if not len(rows):
            return high
        values, columns = self._largest(logits, rows, peaks[rows])
        self.values[rows], self.ids[rows] = self._merge(rows, values, columns + left)
        return high

    def _merge(self, rows: Tensor | slice, values: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the k largest logits of `rows` so far and of entries with higher ids."""
        ids, by_id = ids.sort(-1)
        values = torch.cat([self.values[rows], values.gather(-1, by_id)], -1)
        ids = torch.cat([self.ids[rows], ids], -1)
        order = values.sort(dim=-1, descending=True, stable=True)
        return order.values[:, : self.k], ids.gather(-1, order.indices[:, : self.k])

    def _largest(
        self, logits: Tensor, rows: Tensor | slice, peaks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the k largest logits of `rows` [r] in this block and their columns, [r, k] each.

        peaks: the maxima of the rows' groups [r, groups].
        """
        width, groups = logits.shape[1], peaks.shape[1]
        k = min(self.k, width)
        # One more than k: if its value equals the smallest of the k, there is a tie.
        peaks, group = peaks.topk(min(k + 1, groups), -1)
        steps = torch.arange(0, width, groups, device=logits.device)
        candidates = (group[:, :k, None] + steps).flatten(1)
        logits = logits[rows]
        logits_there = logits.gather(-1, candidates)
        values, place = logits_there.topk(min(k + 1, logits_there.shape[1]), -1)
        columns = candidates.gather(-1, place[:, :k])
        smallest = values[:, k - 1 : k]
        tied = (peaks[:, k:] >= smallest).any(-1) | (values[:, k:] >= smallest).any(-1)
        values = values[:, :k]
        if bool(tied.any()):  # topk picks any of equal values; a stable sort picks the lower id
            order = logits[tied].sort(dim=-1, descending=True, stable=True)
            values[tied], columns[tied] = order.values[:, :k], order.indices[:, :k]
        return values, columns


class _Rank:
    """The number of entries before each row's targets, [n, T]: larger, or equal with a lower id."""

    def __init__(self, target_logits: Tensor, targets: Tensor) -> None:
        self.target_logits, self.targets = target_logits, targets
        self.next_larger = target_logits.nextafter(target_logits.new_tensor(math.inf))
        self.count = torch.zeros_like(targets)

    def add(self, logits: Tensor, left: int, spare: Tensor) -> None:
        """Count the entries of a block; `spare` is overwritten."""
        right = left + logits.shape[1]
        edges = torch.where(self.targets >= right, self.target_logits, self.next_larger)
        in_block = (self.targets >= left) & (self.targets < right)
        for i in range(self.targets.shape[1]):
            # Zeros and ones in the logits' own type are summed faster than booleans.
            count = torch.ge(logits, edges[:, i : i + 1], out=spare).sum(-1).long()
            rows = in_block[:, i].nonzero()[:, 0]
            if len(rows):
                block, target_logit = logits[rows], self.target_logits[rows, i : i + 1]
                ids = torch.arange(left, right, device=logits.device)
                target = self.targets[rows, i : i + 1]
                is_larger = (block > target_logit) & (ids != target)
                is_tied = (block == target_logit) & (ids < target)
                count[rows] = (is_larger | is_tied).sum(-1)
            self.count[:, i] += count


class _RowSums:
    """The running maximum m, l = Σ e^z and t = Σ e^z·y of each row; y is z for the entropy."""

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

    def add(self, p: Tensor, y: Tensor, shift: Tensor, y_shift: Tensor) -> None:
        """Add a block's e^z and y (overwritten), once z moved by `shift` and y by `y_shift`."""
        factor = shift.exp()
        self.t = factor * (self.t + y_shift * self.l) + y.mul_(p).sum(-1)
        self.l = factor * self.l + p.sum(-1)


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
    parts = []
    for first in range(0, max(1, len(hidden)), _ROWS):
        rows = slice(first, first + _ROWS)
        block = (
            hidden[rows].to(exact),
            head,
            top_k,
            None if targets is None else targets[rows].to(hidden.device, torch.int64),
            None if final is None else final[rows].to(exact),
        )
        part = _rows(*block)
        if _is_odd(part):
            part = _rows(*block, is_odd=True)
        parts.append(part)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _is_odd(part: dict[str, Tensor]) -> bool:
    """Return whether 0 · (−inf), which is NaN, has reached a mean."""
    means = [part[name] for name in ("entropy", "kl") if name in part]
    return any(bool((mean.isnan() & part["lse"].isfinite()).any()) for mean in means)


def _rows(
    hidden: Tensor, head: _Head, top_k: int, targets: Tensor | None, final: Tensor | None, *,
    is_odd: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the statistics of one block of rows; `is_odd`: some of its logits are −inf."""
    rows, size = len(hidden), len(head.weight)
    width = min(size, _COLUMNS * max(1, _ROWS // max(1, rows)))
    space = hidden.new_empty(3 if final is not None else 2, rows * width)
    sums, top = _RowSums(hidden), _Top(hidden, top_k)
    final_sums = _RowSums(hidden)  # of the final layer, with y = z_f − z: the divergence
    rank = None
    if targets is not None:
        rank = _Rank(head.at(hidden, targets), targets)
    for left in range(0, size, width):
        right = min(size, left + width)
        z, p, *spare = space[:, : rows * (right - left)].view(len(space), rows, right - left)
        head.block(hidden, left, right, out=z)
        high = top.add(z, left)
        if rank is not None:
            rank.add(z, left, p)
        shift = sums.move(high)
        z -= sums.m[:, None]
        if final is not None:
            z_f = head.block(final, left, right, out=spare[0])
            shift_f = final_sums.move(z_f.amax(-1))
            z_f -= final_sums.m[:, None]
            torch.exp(z_f, out=p)
            gap = z_f.sub_(z)
            final_sums.add(p, gap.masked_fill_(p == 0, 0.0) if is_odd else gap, shift_f,
                           shift_f - shift)  # fmt: skip
        torch.exp(z, out=p)
        if is_odd:
            z.masked_fill_(p == 0, 0.0)
        sums.add(p, z, shift, shift)
    log_l = sums.l.log()
    lse = (sums.m + log_l).masked_fill(sums.l == 0, math.nan)  # no logit above −inf
    result = {
        "entropy": (log_l - sums.t / sums.l).clamp_min(0.0),
        "lse": lse,
        "top_ids": _in_order(top.ids, lse).int(),
        "top_logprobs": top.values - sums.m[:, None] - log_l[:, None],
    }
    if final is not None:
        mean_gap = final_sums.t / final_sums.l
        result["kl"] = (mean_gap + log_l - final_sums.l.log()).clamp_min(0.0)
    if rank is not None:
        result["target_logprob"] = rank.target_logits - sums.m[:, None] - log_l[:, None]
        result["target_rank"] = correct_ranks(rank.count, top.ids, rank.targets, lse).int()
    return result


def correct_ranks(ranks: Tensor, ids: Tensor, targets: Tensor, lse: Tensor) -> Tensor:
    """Return ranks [n, T] that agree with the top ids [n, k], however logits were rounded.

    A target among the top k gets its place there, any other target a rank of at least k. Where lse
    [n] is NaN all logits count as equal, so a target's rank is its id.
    """
    if ids.shape[1]:
        is_top = ids[:, None, :] == targets[:, :, None]
        place = is_top.int().argmax(-1)
        ranks = torch.where(is_top.any(-1), place, ranks.clamp_min(ids.shape[1]))
    return torch.where(lse.isnan()[:, None], targets, ranks)


def _in_order(ids: Tensor, lse: Tensor) -> Tensor:
    """Return the top ids [n, k], but 0 … k − 1, as of equal logits, where lse [n] is NaN."""
    return torch.where(lse.isnan()[:, None], torch.arange(ids.shape[1], device=ids.device), ids)
