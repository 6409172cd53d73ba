"""Which keys each query may see: the mask arguments of every operation as one small object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mask:
    """The rule by which a query sees a key; `attentropy.attention` documents the arguments.

    `query_offset` is the position of query 0 among the keys.
    """

    queries: int
    keys: int
    query_offset: int
    causal: bool = True
    window: int | None = None
    chunk: int | None = None
    key_starts: Tensor | None = None  # [B]
    key_lengths: Tensor | None = None  # [B]
    segments: Tensor | None = None  # [B, keys]
    last_keys: Tensor | None = None  # [B, keys]

    @property
    def distance_bins(self) -> int:
        """The bins that all distances |i − j| of the call take: 0, 1, 2 … 3, 4 … 7 and so on."""
        first, last = self.query_offset, self.query_offset + self.queries - 1
        return 1 + max(last, self.keys - 1 - first, 0).bit_length()

    @property
    def is_plain(self) -> bool:
        """Whether nothing but causal order, or nothing at all, hides keys."""
        rules = (self.window, self.chunk, self.key_starts, self.key_lengths, self.segments)
        return all(rule is None for rule in (*rules, self.last_keys))

    @property
    def widest(self) -> int:
        """The most keys that a query can see, as far as its rules say without a look at values."""
        return min(size for size in (self.keys, self.window, self.chunk) if size is not None)

    def starts(self, device: torch.device) -> Tensor:
        """Return the first key that is not padding, [B or 1] int64."""
        if self.key_starts is None:
            return torch.zeros(1, dtype=torch.int64, device=device)
        return self.key_starts.to(device, torch.int64)

    def padding(self, device: torch.device) -> Tensor:
        """Return which keys are padding, [B or 1, 1, keys, 1]."""
        key, start = torch.arange(self.keys, device=device), self.starts(device)[:, None]
        padding = key < start
        if self.key_lengths is not None:
            padding = padding | (key >= start + self.key_lengths.to(device, torch.int64)[:, None])
        return padding[:, None, :, None]

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return the keys (start, stop) outside which no query of first … last − 1 sees any."""
        start, stop = 0, self.keys
        low, high = self.query_offset + first, self.query_offset + last - 1
        if self.causal:
            ends = None if self.last_keys is None else self.last_keys[:, max(low, 0) : high + 1]
            last = high if ends is None or not ends.numel() else max(high, int(ends.max()))
            stop = min(stop, last + 1)
        if self.window is not None:
            start = max(start, low - self.window + 1)
            if not self.causal:
                stop = min(stop, high + self.window)
        if self.chunk is not None and self.key_starts is None:
            start = max(start, low // self.chunk * self.chunk)
            stop = min(stop, (high // self.chunk + 1) * self.chunk)
        return start, max(start, stop)

    def hides_none(self, rows: tuple[int, int], cols: tuple[int, int]) -> bool:
        """Return whether each of the queries `rows` certainly sees all the keys `cols`.

        Only causal order and a window are considered: False does not mean that a key is hidden.
        """
        if not replace(self, window=None).is_plain or cols[1] > self.keys:
            return False
        low, high = self.query_offset + rows[0], self.query_offset + rows[1] - 1
        if self.causal and cols[1] - 1 > low:
            return False
        if self.window is None:
            return True
        return cols[0] > high - self.window and (self.causal or cols[1] - 1 < low + self.window)

    def visible(self, rows: tuple[int, int], cols: tuple[int, int], device: torch.device) -> Tensor:
        """Return which of the keys `cols` each query of `rows` sees, [B or 1, 1, rows, cols]."""
        query = torch.arange(*rows, device=device)[:, None] + self.query_offset
        key = torch.arange(*cols, device=device)[None, :]
        return self.sees(query, key)[:, None]

    def visible_pairs(self, keys: Tensor) -> Tensor:
        """Return whether each query sees its key of `keys` [B, Nq], [B, Nq].

        A key outside of 0 … keys − 1 is seen by no query.
        """
        query = torch.arange(self.queries, device=keys.device)[:, None] + self.query_offset
        return self.sees(query, keys[..., None])[..., 0]

    def latest(self, last: int, device: torch.device) -> Tensor:
        """Return the first of the last `last` keys that each query sees, [B or 1, Nq] int64.

        0 for a query that sees fewer keys than that.
        """
        stop = self._stops(device)
        if self.segments is None or self.keys == 0:
            return (stop - last).clamp_min(0)
        # Keys in order of their segment: those before `stop` in a query's own end at `end`.
        _, segments = self.segments.to(device).unique(return_inverse=True)
        ordered, order = (segments * self.keys + torch.arange(self.keys, device=device)).sort()
        own = self.own_segments(segments) * self.keys
        end = torch.searchsorted(ordered, (own + stop.clamp(0, self.keys)).contiguous())
        first = torch.searchsorted(ordered, own.contiguous())
        key = order.gather(-1, (end - last).clamp(0, self.keys - 1))
        return torch.where(end - last > first, key, 0)

    def _stops(self, device: torch.device) -> Tensor:
        """Return one past the last key that each query sees, segments aside, [B or 1, Nq]."""
        query = torch.arange(self.queries, device=device) + self.query_offset
        start = self.starts(device)[:, None]
        stop = torch.full_like(start, self.keys)
        if self.key_lengths is not None:
            length = self.key_lengths.to(device, torch.int64)[:, None]
            stop = torch.minimum(stop, start + length)
        if self.causal:
            stop = torch.minimum(stop, self._last(query) + 1)
        elif self.window is not None:
            stop = torch.minimum(stop, query + self.window)
        if self.chunk is not None:
            chunks = torch.div(query - start, self.chunk, rounding_mode="floor")
            stop = torch.minimum(stop, start + (chunks + 1) * self.chunk)
        return stop.expand(-1, self.queries)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Return whether queries see keys, both given as positions among the keys.

        query [rows, 1] or [rows, cols]; key [cols], [1, cols], [rows, cols] or [B, rows, 1]:
        [B or 1, rows, cols or 1]. With segments query is [rows, 1] and key [1, cols] or
        [B, rows, 1].
        """
        device = query.device
        start = self.starts(device)[:, None, None]
        visible = (key >= start) & (key >= 0) & (key < self.keys)
        if self.key_lengths is not None:
            length = self.key_lengths.to(device, torch.int64)[:, None, None]
            visible = visible & (key < start + length)
        if self.causal:
            visible = visible & (key <= self._last(query))
        if self.window is not None:
            visible = visible & (key > query - self.window)
            if not self.causal:
                visible = visible & (key < query + self.window)
        if self.chunk is not None:
            key_chunk = torch.div(key - start, self.chunk, rounding_mode="floor")
            query_chunk = torch.div(query - start, self.chunk, rounding_mode="floor")
            visible = visible & (key_chunk == query_chunk)
        if self.segments is not None:
            segments = self.segments.to(device)
            of_query = segments[:, query[:, 0].clamp(0, self.keys - 1)][..., None]
            inside = key.clamp(0, self.keys - 1)
            if key.ndim == 3:
                of_key = segments.gather(-1, inside[..., 0])[..., None]
            else:
                of_key = segments[:, inside[0]][:, None]
            visible = visible & (of_query == of_key)
        return visible

    def _last(self, query: Tensor) -> Tensor:
        """Return the last key that causal order leaves to queries, of their shape or [B, …]."""
        if self.last_keys is None or self.keys == 0:
            return query
        last = self.last_keys.to(query.device)[:, query.clamp(0, self.keys - 1)]
        return torch.where((query >= 0) & (query < self.keys), last, query)

    def ranges(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the keys [first, stop) that each query sees, segments aside, [B or 1, Nq] int64.

        A query that sees none has an empty range.
        """
        stop = self._stops(device)
        return stop - self.counts(device), stop

    def counts(self, device: torch.device) -> Tensor:
        """Return the number of keys that each query sees, segments aside, [B or 1, Nq] int64."""
        query = torch.arange(self.queries, device=device) + self.query_offset
        start = self.starts(device)[:, None]
        first = start.clamp_min(0)
        if self.chunk is not None:
            chunks = torch.div(query - start, self.chunk, rounding_mode="floor")
            first = torch.maximum(first, start + chunks * self.chunk)
        if self.window is not None:
            first = torch.maximum(first, query - self.window + 1)
        return (self._stops(device) - first).clamp_min(0)

    def bounds(self, device: torch.device) -> tuple[Tensor, Tensor, bool]:
        """Return the keys first … stop − 1 outside which each query sees none, [B or 1, Nq] int64.

        And whether it sees all of them: not where segments lie within each other. A query with
        first ≥ stop sees none.
        """
        first, stop = self.ranges(device)
        is_whole = True
        if self.segments is not None and self.keys:
            numbers, ids = self.segments.to(device).unique(return_inverse=True)
            place = torch.arange(self.keys, device=device).expand_as(ids)
            none = ids.new_zeros(len(ids), len(numbers))
            starts = (none + self.keys).scatter_reduce(-1, ids, place, "amin")
            ends = none.scatter_reduce(-1, ids, place + 1, "amax")
            counts = none.scatter_add(-1, ids, torch.ones_like(ids))
            is_whole = bool(((ends - starts).clamp_min(0) == counts).all())
            own = self.own_segments(ids)
            first = torch.maximum(first, starts.gather(-1, own))
            stop = torch.minimum(stop, ends.gather(-1, own))
        return first.contiguous(), stop.contiguous(), is_whole

    def own_segments(self, segments: Tensor) -> Tensor:
        """Return the number of each query's segment, [B, Nq], of those of the keys [B, Nk]."""
        query = torch.arange(self.queries, device=segments.device) + self.query_offset
        return segments[:, query.clamp(0, self.keys - 1)]
