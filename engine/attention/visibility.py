"""Who may see whom in one attention call, as a few numbers and never as a matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Visibility:
    """What one attention call's queries may see, in the terms of `attentropy.attention`.

    `query_offset` is the index of query 0 among the keys. `key_starts` and `key_lengths` [B] are
    left and right padding, as `attention` takes them;
    `first_key` is the sequence position of key 0, above 0 where a sliding cache dropped some.
    """

    queries: int
    keys: int
    query_offset: int
    first_key: int = 0
    causal: bool = True
    window: int | None = None
    chunk: int | None = None
    key_starts: Tensor | None = None
    key_lengths: Tensor | None = None

    # What `generate` asks of a mask that it prepares for a static cache: it stands for a 4-D one.
    ndim: ClassVar[int] = 4

    def to(self, *args: Any, **kwargs: Any) -> Visibility:
        """Its padding moved as a tensor is: accelerate does so with every argument of a layer."""
        if self.key_starts is None and self.key_lengths is None:
            return self
        starts, lengths = (
            None if numbers is None else numbers.to(*args, **kwargs)
            for numbers in (self.key_starts, self.key_lengths)
        )
        return replace(self, key_starts=starts, key_lengths=lengths)

    def contiguous(self) -> Visibility:
        """Itself; see `ndim`."""
        return self

    @property
    def position(self) -> int:
        """Query 0's place in the padded sequence, whatever the cache dropped."""
        return self.first_key + self.query_offset

    def tokens(self, batch: int) -> tuple[Tensor, Tensor]:
        """Where each sequence's tokens start and stop as of this pass, [batch] int64 on the CPU.

        Counted in the padded sequence; before and after them there is only padding.
        """
        start = torch.zeros(batch, dtype=torch.int64)
        if self.key_starts is not None:
            start = self.key_starts.cpu().to(torch.int64) + self.first_key
        stop = torch.full_like(start, self.position + self.queries)
        if self.key_lengths is not None:
            stop = torch.minimum(stop, start + self.key_lengths.cpu().to(torch.int64))
        return start, stop

    def of(self, sequence: int) -> Visibility:
        """What one sequence's queries may see, as a batch of one."""
        one = slice(sequence, sequence + 1)
        return replace(
            self,
            key_starts=None if self.key_starts is None else self.key_starts[one],
            key_lengths=None if self.key_lengths is None else self.key_lengths[one],
        )

    def arguments(self) -> dict[str, Any]:
        """The mask arguments of `attentropy.attention`."""
        return {
            "causal": self.causal,
            "window": self.window,
            "chunk": self.chunk,
            "key_starts": self.key_starts,
            "key_lengths": self.key_lengths,
            "query_offset": self.query_offset,
        }

    def counts(self, batch: int) -> Tensor:
        """Number of keys that each query may see, [batch, queries] int64, on the CPU."""
        query = torch.arange(self.queries)[None, :] + self.query_offset
        start = torch.zeros(batch, 1, dtype=torch.int64)
        if self.key_starts is not None:
            start = self.key_starts.cpu().to(torch.int64)[:, None]
        stop = torch.full((batch, 1), self.keys)
        if self.key_lengths is not None:
            stop = torch.minimum(stop, start + self.key_lengths.cpu().to(torch.int64)[:, None])
        low, high = start.clamp_min(0).expand(batch, self.queries), stop.expand(batch, self.queries)
        if self.chunk is not None:
            first = start + (query - start).div(self.chunk, rounding_mode="floor") * self.chunk
            low, high = torch.maximum(low, first), torch.minimum(high, first + self.chunk)
        if self.window is not None:
            low = torch.maximum(low, query - self.window + 1)
            if not self.causal:
                high = torch.minimum(high, query + self.window)
        if self.causal:
            high = torch.minimum(high, query + 1)
        return (high - low).clamp_min(0)

    def sees(self, batch: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Whether a query (index in this call) may see a key (index in this call); broadcasts."""
        query = query + self.query_offset
        start = torch.zeros_like(batch)
        if self.key_starts is not None:
            start = self.key_starts.to(batch.device, torch.int64)[batch]
        seen = (key >= start) & (key < self.keys)
        if self.key_lengths is not None:
            seen &= key < start + self.key_lengths.to(batch.device, torch.int64)[batch]
        if self.causal:
            seen = seen & (key <= query)
        if self.window is not None:
            seen = seen & (query - self.window < key)
            if not self.causal:
                seen = seen & (key < query + self.window)
        if self.chunk is not None:
            seen = seen & ((key - start) // self.chunk == (query - start) // self.chunk)
        return seen
