"""Softmax attention of several variants of the same rows over a prompt's keys that they share.

Each variant hides other keys. The prompt's keys and values are read in place, whatever the number
of variants, and an online softmax merges blocks of keys, so that only one block of scores exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.engine.sources.hiding import Variant
from attentropy.kernels.common.mask import Mask

# Bytes of one block of scores (a processor's cache takes fewer than a GPU is busy with), the most
# rows (of all variants and heads) in it, the fewest keys.
BLOCK_BYTES = {"cpu": 2 << 20}
_OTHER_BLOCK_BYTES = 64 << 20
_ROWS = 2048
_FEWEST_KEYS = 64


@dataclass(frozen=True)
class Score:
    """How scores are computed: softcap · tanh(scale · q · k / softcap), and learned sinks [Hq]."""

    scale: float
    softcap: float | None = None
    sinks: Tensor | None = None


@dataclass(frozen=True)
class Keys:
    """Keys and values of the positions from `first` on: [1 or V, Hkv, n, D] and [.., Dv].

    A batch of one is shared by all variants.
    """

    first: int
    keys: Tensor
    values: Tensor

    @property
    def stop(self) -> int:
        """The position after the last key."""
        return self.first + self.keys.shape[2]


def hidden_attention(
    query: Tensor, parts: Sequence[Keys], mask: Mask, variants: Sequence[Variant], score: Score
) -> Tensor:
    """Return attention's output [V, Hq, R, Dv] for the rows [V, Hq, R, D] of each variant.

    parts: the keys, in order and without a gap from position 0. mask: which of them a row sees if
    nothing is hidden. variants: what each one hides in this layer. Sums are in float32, in float64
    where the rows are.
    """
    count, _, rows, _ = query.shape
    step = max(1, _ROWS // (count * query.shape[1]))
    blocks = [
        _Block(query, (first, min(first + step, rows)), parts, mask, variants, score).out()
        for first in range(0, rows, step)
    ]
    return torch.cat(blocks, 2).to(query.dtype)


def received(query: Tensor, parts: Sequence[Keys], mask: Mask, score: Score) -> Tensor:
    """Return the weight of each key, the mean over rows [1, Hq, R, D] and heads, float64 [keys].

    Nothing is hidden. Learned sinks take their part, so that the weights may add up to less than 1.
    """
    _, heads, rows, _ = query.shape
    step = max(1, _ROWS // heads)
    total = torch.zeros(parts[-1].stop, dtype=torch.float64, device=query.device)
    for first in range(0, rows, step):
        block = _Block(query, (first, min(first + step, rows)), parts, mask, [()], score)
        total += block.received(total.shape[0])
    return total / (heads * rows)


class _Block:
    """Some rows of a call, all their keys, and the online softmax over them.

    The running maximum and denominator are [Hkv, V, g, r]: g query heads share a key head.
    """

    def __init__(
        self, query: Tensor, rows: tuple[int, int], parts: Sequence[Keys], mask: Mask,
        variants: Sequence[Variant], score: Score,
    ) -> None:  # fmt: skip
        count, heads, _, width = query.shape
        shared = parts[0].keys.shape[1]
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        own = query[:, :, slice(*rows)].to(dtype) * score.scale
        own = own.view(count, shared, heads // shared, rows[1] - rows[0], width)
        self._query = own.transpose(0, 1).contiguous()  # [Hkv, V, g, r, D]
        self._rows, self._parts, self._mask, self._score = rows, parts, mask, score
        self._variants = variants
        self.top = self._query.new_full(self._query.shape[:-1], -torch.inf)
        self.total = torch.zeros_like(self.top)
        if score.sinks is not None:  # a key of its own, without a value
            sinks = score.sinks.to(dtype).view(shared, 1, -1, 1)
            self.top, self.total = sinks.expand_as(self.top), torch.ones_like(self.top)

    def out(self) -> Tensor:
        """Return the output of the rows, [V, Hq, r, Dv]."""
        out = self._query.new_zeros((*self.top.shape, self._parts[0].values.shape[-1]))
        for part, first, stop in self._blocks():
            weights, factor = self._add(part, first, stop)
            values = _of(part.values, part, first, stop, weights.dtype)
            out = out * factor[..., None] + _product(weights, values)
        out = (out / self.total[..., None]).transpose(0, 1)
        return out.reshape(out.shape[0], -1, *out.shape[3:])

    def received(self, keys: int) -> Tensor:
        """Return the sum of the weights of each key over rows and heads, float64 [keys]."""
        for part, first, stop in self._blocks():
            self._add(part, first, stop)
        sums = torch.zeros(keys, dtype=torch.float64, device=self.top.device)
        for part, first, stop in self._blocks():
            weights = (self._scores(part, first, stop) - self.top[..., None]).exp_()
            weights /= self.total[..., None]
            sums[first:stop] = weights.sum((0, 1, 2, 3), dtype=torch.float64)
        return sums

    def _add(self, part: Keys, first: int, stop: int) -> tuple[Tensor, Tensor]:
        """Add keys to the sums; return their weights and what earlier ones are multiplied by."""
        scores = self._scores(part, first, stop)
        top = torch.maximum(self.top, scores.amax(-1))
        base = top.masked_fill(top == -torch.inf, 0.0)  # rows that have seen no key so far
        weights = scores.sub_(base[..., None]).exp_()
        factor = (self.top - base).exp_()
        self.total = self.total * factor + weights.sum(-1)
        self.top = top
        return weights, factor

    def _blocks(self) -> Iterator[tuple[Keys, int, int]]:
        """Yield the part, the first position and the end of each block of keys that rows see."""
        low, high = self._mask.span(*self._rows)
        row_bytes = self.top.numel() * self._query.element_size()
        block = BLOCK_BYTES.get(self.top.device.type, _OTHER_BLOCK_BYTES)
        step = max(_FEWEST_KEYS, block // row_bytes)
        for part in self._parts:
            start, end = max(low, part.first), min(high, part.stop)
            for first in range(start, end, step):
                yield part, first, min(first + step, end)

    def _scores(self, part: Keys, first: int, stop: int) -> Tensor:
        """Return the scores of a block's keys, −inf where a key is not seen, [Hkv, V, g, r, k]."""
        keys = _of(part.keys, part, first, stop, self._query.dtype)
        scores = _product(self._query, keys.transpose(-1, -2))
        if (cap := self._score.softcap) is not None:
            scores = scores.div_(cap).tanh_().mul_(cap)
        if not self._mask.hides_none(self._rows, (first, stop)):
            visible = self._mask.visible(self._rows, (first, stop), scores.device)
            scores.masked_fill_(~visible, -torch.inf)
        self._hide(scores, first, stop)
        return scores

    def _hide(self, scores: Tensor, first: int, stop: int) -> None:
        """Hide each variant's keys among the positions first … stop − 1."""
        offset, rows = self._mask.query_offset + self._rows[0], scores.shape[3]
        for number, variant in enumerate(self._variants):
            for interval in variant:
                start, end = max(first, interval.start), min(stop, interval.stop)
                row = max(0, interval.first_row - offset)
                if start >= end or row >= rows:
                    continue
                hidden = scores[:, number, :, row:, start - first : end - first]
                if end <= offset + row:  # keys of earlier positions alone
                    hidden.fill_(-torch.inf)
                else:
                    position = torch.arange(offset + row, offset + rows, device=scores.device)
                    key = torch.arange(start, end, device=scores.device)
                    hidden.masked_fill_(position[:, None] != key, -torch.inf)


def _of(tensor: Tensor, part: Keys, first: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Return the keys or values of some positions, [Hkv, 1 or V, k, D]."""
    return tensor[:, :, first - part.first : stop - part.first].transpose(0, 1).to(dtype)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply [Hkv, V, g, r, n] by [Hkv, 1 or V, n, m]: [Hkv, V, g, r, m]; the right is shared."""
    heads, count, group, rows, _ = left.shape
    if right.shape[1] == 1:
        product = left.reshape(heads, count * group * rows, -1) @ right[:, 0]
    else:
        product = left.reshape(heads, count, group * rows, -1) @ right
    return product.view(heads, count, group, rows, -1)
