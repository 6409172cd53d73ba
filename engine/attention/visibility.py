"""Which keys each query of one attention call may see: a few numbers, and never a matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Visibility:
    """The mask of one attention call, and the call's place in the sequence.

    `first_key` is the sequence position of key 0, above 0 where a sliding cache dropped some.
    What is read off the mask is kept: all layers of a pass have the same one.
    """

    mask: Mask
    first_key: int = 0

    # What `generate` asks of a mask that it prepares for a static cache: it stands for a 4-D one.
    ndim: ClassVar[int] = 4

    def to(self, *args: Any, **kwargs: Any) -> Visibility:
        """Return this with its padding moved as a tensor is: accelerate moves every argument."""
        mask = self.mask
        if mask.key_starts is None and mask.key_lengths is None:
            return self
        starts, lengths = (
            None if numbers is None else numbers.to(*args, **kwargs)
            for numbers in (mask.key_starts, mask.key_lengths)
        )
        return replace(self, mask=replace(mask, key_starts=starts, key_lengths=lengths))

    def contiguous(self) -> Visibility:
        """Return this; see `ndim`."""
        return self

    @property
    def queries(self) -> int:
        """The number of queries."""
        return self.mask.queries

    @property
    def position(self) -> int:
        """Query 0's place in the padded sequence, whatever the cache dropped."""
        return self.first_key + self.mask.query_offset

    @property
    def end(self) -> int:
        """The place after the last query in the padded sequence."""
        return self.position + self.mask.queries

    def tokens(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return where each sequence's tokens start and stop as of this pass.

        Both are [batch] int64 on the CPU, counted in the padded sequence; before and after them
        there is only padding.
        """
        if batch not in self._ends:
            starts, lengths = self.mask.key_starts, self.mask.key_lengths
            start = torch.zeros(batch, dtype=torch.int64)
            if starts is not None:
                start = starts.cpu().to(torch.int64) + self.first_key
            stop = torch.full_like(start, self.end)
            if lengths is not None:
                stop = torch.minimum(stop, start + lengths.cpu().to(torch.int64))
            self._ends[batch] = start, stop
        return self._ends[batch]

    def is_padded(self, batch: int) -> bool:
        """Return whether this pass has rows before or after a sequence's tokens."""
        if self.mask.key_starts is None and self.mask.key_lengths is None:
            return False
        starts, stops = self.tokens(batch)
        return bool((starts > self.position).any() or (stops < self.end).any())

    @cached_property
    def _ends(self) -> dict[int, tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def span(self) -> tuple[int, int]:
        """Where the tokens of a batch of one start and stop; see `tokens`."""
        start, stop = self.tokens(1)
        return int(start[0]), int(stop[0])

    def of(self, sequence: int) -> Visibility:
        """Return what one sequence's queries may see, as a batch of one."""
        one, mask = slice(sequence, sequence + 1), self.mask
        ends = (mask.key_starts, mask.key_lengths, mask.last_keys)
        if all(numbers is None or len(numbers) == 1 for numbers in ends):  # the same for all
            return self
        starts, lengths, last = (None if numbers is None else numbers[one] for numbers in ends)
        mask = replace(mask, key_starts=starts, key_lengths=lengths, last_keys=last)
        return replace(self, mask=mask)

    def part(self, start: int, stop: int) -> Visibility:
        """Return what the queries start … stop−1 may see, counted from the first."""
        offset = self.mask.query_offset + start
        return replace(self, mask=replace(self.mask, queries=stop - start, query_offset=offset))

    def arguments(self) -> dict[str, Any]:
        """Return the mask arguments of `attentropy.attention`."""
        names = ["causal", "window", "chunk", "key_starts", "key_lengths", "query_offset"]
        names += ["last_keys"] if self.mask.last_keys is not None else []
        return {name: getattr(self.mask, name) for name in names}

    def counts(self, batch: int) -> Tensor:
        """Return the number of keys that each query may see, [batch, queries] int64 on the CPU."""
        return self._counts if batch == len(self._counts) else self._counts.expand(batch, -1)

    @cached_property
    def _counts(self) -> Tensor:
        return self.mask.counts(_CPU)
