"""The order of logits, block by block: the largest of each row, and the ranks of its targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GROUP = 16  # columns of a block whose maximum the top k compare first


class TopLogits:
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


class TargetRanks:
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


def in_order(ids: Tensor, lse: Tensor) -> Tensor:
    """Return the top ids [n, k], but 0 … k − 1, as of equal logits, where lse [n] is NaN."""
    return torch.where(lse.isnan()[:, None], torch.arange(ids.shape[1], device=ids.device), ids)
