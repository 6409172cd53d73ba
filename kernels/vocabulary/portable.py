"""Vocabulary statistics in plain PyTorch on any device: blocks of rows and of the vocabulary.

No logits are stored: two blocks of at most `_ROWS` × `_COLUMNS` of them are alive at once, small
enough to stay in a processor's cache, so that only the products take time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROWS, _COLUMNS = 1024, 1024
_GROUP = 16  # columns of a block that the top k look at together


class _Head:
    """The way from hidden states [n, d] to a block of logits."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None
    ) -> None:
        self.weight, self.bias, self.scale, self.softcap = weight, bias, scale, softcap

    def block(self, hidden: Tensor, left: int, right: int, out: Tensor) -> Tensor:
        """Logits [n, right − left] of the vocabulary's entries from left on, in `out`."""
        torch.mm(hidden, self.weight[left:right].to(hidden.dtype).T, out=out)
        return self._bend(out, None if self.bias is None else self.bias[left:right])

    def chosen(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits [n, T] of each row's own entries `ids` [n, T]."""
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


class _Best:
    """The k largest logits of each row so far, [n, k] in descending order, ties by the lower id."""

    def __init__(self, hidden: Tensor, k: int) -> None:
        self.k = k
        self.values = hidden.new_full((len(hidden), k), -math.inf)
        self.ids = torch.zeros(len(hidden), k, dtype=torch.int64, device=hidden.device)

    def add(self, logits: Tensor, left: int) -> Tensor:
        """Take in a block whose ids are higher than all before; the maxima of its rows [n].

        Only rows that improve are looked into, and of these the columns, in groups, whose maxima
        are the k largest: no other group holds one of the k.
        """
        n, width = logits.shape
        # Group g holds the columns g, g + groups, …
        groups = width // _GROUP if width % _GROUP == 0 else width
        peaks = logits.view(n, width // groups, groups).amax(1)
        high = peaks.amax(-1)
        if not self.k:
            return high
        rows = (high > self.values[:, -1]).nonzero()[:, 0]
        if not len(rows):
            return high
        k = min(self.k, width)
        # One more than k of each: a value there that reaches the edge is a tie.
        peaks, where = peaks[rows].topk(min(k + 1, groups), -1)  # [r, groups of interest]
        steps = torch.arange(0, width, groups, device=logits.device)
        columns = (where[:, :k, None] + steps).flatten(1)
        found = logits[rows[:, None], columns]
        values, place = found.topk(min(k + 1, found.shape[1]), -1)
        where = columns.gather(-1, place[:, :k])
        edge = values[:, k - 1 : k]
        tied = (peaks[:, k:] >= edge).any(-1) | (values[:, k:] >= edge).any(-1)
        values = values[:, :k]
        if bool(tied.any()):  # topk chose freely among them: a stable sort does not
            order = logits[rows[tied]].sort(dim=-1, descending=True, stable=True)
            values[tied], where[tied] = order.values[:, :k], order.indices[:, :k]
        where, by_id = where.sort(-1)
        values = torch.cat([self.values[rows], values.gather(-1, by_id)], -1)
        ids = torch.cat([self.ids[rows], where + left], -1)
        order = values.sort(dim=-1, descending=True, stable=True)
        self.values[rows] = order.values[:, : self.k]
        self.ids[rows] = ids.gather(-1, order.indices[:, : self.k])
        return high


class _Rank:
    """How many entries come before each row's targets, [n, T]: larger, or equal and of lower id."""

    def __init__(self, goal: Tensor, targets: Tensor) -> None:
        self.goal, self.targets = goal, targets
        self.after = goal.nextafter(goal.new_tensor(math.inf))
        self.count = torch.zeros_like(targets)

    def add(self, logits: Tensor, left: int, spare: Tensor) -> None:
        """Count in a block; `spare` is overwritten."""
        right = left + logits.shape[1]
        edges = torch.where(self.targets >= right, self.goal, self.after)
        here = (self.targets >= left) & (self.targets < right)
        for i in range(self.targets.shape[1]):
            # Zeros and ones in the logits' own type are summed faster than booleans.
            count = torch.ge(logits, edges[:, i : i + 1], out=spare).sum(-1).long()
            rows = here[:, i].nonzero()[:, 0]
            if len(rows):
                block, goal = logits[rows], self.goal[rows, i : i + 1]
                ids = torch.arange(left, right, device=logits.device)
                own = self.targets[rows, i : i + 1]
                before = (block > goal) & (ids != own) | (block == goal) & (ids < own)
                count[rows] = before.sum(-1)
            self.count[:, i] += count


class _Sums:
    """Each row's running maximum m, l = Σ e^z and t = Σ e^z·y: y is z = s − m for the entropy."""

    def __init__(self, hidden: Tensor) -> None:
        self.m = hidden.new_full((len(hidden),), -math.inf)
        self.l, self.t = hidden.new_zeros(len(hidden)), hidden.new_zeros(len(hidden))

    def move(self, high: Tensor) -> Tensor:
        """Raise the maximum to `high` [n] where that is more; the step it made, ≤ 0."""
        m = torch.maximum(self.m, high)
        shift = torch.where(self.m == -math.inf, 0.0, self.m - m)
        self.m = m
        return shift

    def add(self, p: Tensor, y: Tensor, shift: Tensor, moved: Tensor) -> None:
        """Take in a block's e^z and y (overwritten), after steps of `shift` in z, `moved` in y."""
        factor = shift.exp()
        self.t = factor * (self.t + moved * self.l) + y.mul_(p).sum(-1)
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
    """Entropy, lse, kl [N]; top-k [N, k]; target statistics [N, T], as the contract has them."""
    exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    head = _Head(unembedding, bias, scale, softcap)
    parts = []
    for first in range(0, max(1, len(hidden)), _ROWS):
        rows = slice(first, first + _ROWS)
        parts.append(
            _rows(
                hidden[rows].to(exact),
                head,
                top_k,
                None if targets is None else targets[rows].to(hidden.device, torch.int64),
                None if final is None else final[rows].to(exact),
            )
        )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _rows(
    hidden: Tensor, head: _Head, top_k: int, targets: Tensor | None, final: Tensor | None
) -> dict[str, Tensor]:
    rows, size = len(hidden), len(head.weight)
    width = min(size, _COLUMNS * max(1, _ROWS // max(1, rows)))
    space = hidden.new_empty(3 if final is not None else 2, rows * width)
    sums, best = _Sums(hidden), _Best(hidden, top_k)
    last = _Sums(hidden)  # of the final layer, with y = z_f − z: the divergence
    rank = None
    if targets is not None:
        rank = _Rank(head.chosen(hidden, targets), targets)
    for left in range(0, size, width):
        right = min(size, left + width)
        z, p, *spare = space[:, : rows * (right - left)].view(len(space), rows, right - left)
        head.block(hidden, left, right, out=z)
        high = best.add(z, left)
        if rank is not None:
            rank.add(z, left, p)
        shift = sums.move(high)
        z -= sums.m[:, None]
        if final is not None:
            z_f = head.block(final, left, right, out=spare[0])
            shift_f = last.move(z_f.amax(-1))
            z_f -= last.m[:, None]
            torch.exp(z_f, out=p)
            last.add(p, z_f.sub_(z), shift_f, shift_f - shift)
        torch.exp(z, out=p)
        sums.add(p, z, shift, shift)
    log_l = sums.l.log()
    done = {
        "entropy": (log_l - sums.t / sums.l).clamp_min(0.0),
        "lse": sums.m + log_l,
        "top_ids": best.ids.int(),
        "top_logprobs": best.values - sums.m[:, None] - log_l[:, None],
    }
    if final is not None:
        done["kl"] = (last.t / last.l + log_l - last.l.log()).clamp_min(0.0)
    if rank is not None:
        done["target_logprob"] = rank.goal - sums.m[:, None] - log_l[:, None]
        done["target_rank"] = settle(rank.count, best.ids, rank.targets).int()
    return done


def settle(rank: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
    """Ranks [n, T] that agree with the top ids [n, k], however a target's logit was rounded.

    A target among the top k has that very rank, any other one of at least k.
    """
    if ids.shape[1] == 0:
        return rank
    among = ids[:, None, :] == targets[:, :, None]
    return torch.where(among.any(-1), among.int().argmax(-1), rank.clamp_min(ids.shape[1]))
