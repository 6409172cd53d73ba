"""How much of its context each head uses: windows that hold its attention, and what they save.

`context_mass` has a bin for the first four keys, one for distance 0, and one for each range of
distances 2^(b−1) … 2^b − 1. So a window of 2^b keys is the bins up to b.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import Readable
from attentropy.engine.trace.types import Array

FIRST_KEYS = 4  # kept next to every window, as in StreamingLLM (arXiv 2309.17453)
SHARES = (0.95, 0.99)
_ROUNDING = 1e-6  # of a sum of float32 shares


def bin_starts(tokens: int) -> Array:
    """Return the least distance of each bin for so many tokens, −1 for the first keys, [1 + bins].

    Examples:
        >>> bin_starts(5).tolist()  # the farthest of 5 tokens are 4 apart
        [-1, 0, 1, 2, 4]
    """
    bins = 1 + max(0, tokens - 1).bit_length()
    return np.array([-1, 0, *(1 << b for b in range(bins - 1))], np.int64)


@dataclass(frozen=True)
class CacheBytes:
    """Bytes of keys and values at the prompt's length, of the layers that were measured.

    full: with every key that a layer lets its queries see. windowed: with a window per head of keys
    and values, the largest that one of its query heads needs, and the first four keys.
    """

    full: int
    windowed: int


@dataclass(frozen=True)
class ContextUse:
    """How far back each head of a trace attends, as means over the prompt's queries.

    Attributes:
        tokens: Tokens of the prompt.
        layers: The model's number of each layer, [layer].
        bins: The least distance of each bin, −1 for the first four keys, [bin].
        mass: Share of a query's attention in each bin, [layer, head, bin]; NaN: not measured.
        uniform: `mass` of uniform attention, [layer, bin].
        reach: Share of the queries that see a key of the bin or beyond it, [layer, bin].
        limits: The most keys that a query of the layer sees, [layer].
        cache_heads: Heads of keys and values, [layer]; −1: not measured.
        cache_bytes: Bytes of the key and the value of one token in one of these, [layer].
        cache_entry: Index of the first layer that reads the same keys and values, [layer].
        is_causal: Whether queries see no later keys (those of an image aside). Otherwise a window
            reaches so far to either side, and there is no cache.
    """

    tokens: int
    layers: Array
    bins: Array
    mass: Array
    uniform: Array
    reach: Array
    limits: Array
    cache_heads: Array
    cache_bytes: Array
    cache_entry: Array
    is_causal: bool = True

    @cached_property
    def is_measured(self) -> Array:
        """Which heads have values, [layer, head]."""
        return np.isfinite(self.mass[..., 0])

    @property
    def heads(self) -> int:
        """The number of heads with values."""
        return int(self.is_measured.sum())

    @property
    def half(self) -> int:
        """The largest power of two that is at most half the prompt, at least 1.

        About half of the queries, or more, see further: so a window of this size can be judged.
        """
        return 1 << max(0, (self.tokens // 2).bit_length() - 1)

    def windows(self, share: float) -> Array:
        """Return the smallest window of 2^b keys that holds this share of a head's attention.

        The share is of what does not go to the first four keys. A window is no larger than the
        number of keys that the layer lets a query see, which stands for all of them.

        Returns:
            Numbers of keys, [layer, head]; 0 where nothing was measured.
        """
        sizes = np.minimum(1 << _bin_of(self.mass, share), self.limits[:, None])
        return np.where(self.is_measured, sizes, 0)

    def uniform_window(self, share: float) -> int:
        """Return the window of uniform attention in the layer where it is largest."""
        sizes = np.minimum(1 << _bin_of(self.uniform, share), self.limits)
        return int(sizes[self.is_measured.any(1)].max(initial=0))

    def beyond(self, share: float) -> Array:
        """Return the share of queries that see a key beyond the window of their head.

        The others see no more than the window has, whatever the head would do with a longer text.

        Returns:
            Shares, [layer, head]; NaN where nothing was measured.
        """
        padded = np.pad(self.reach[:, 1:], ((0, 0), (0, 1)))
        shares = np.take_along_axis(padded, _bin_of(self.mass, share) + 1, 1)
        return np.where(self.is_measured, shares, np.nan)

    def is_far(self, share: float = SHARES[0]) -> Array:
        """Return which heads need a window of more than `half` keys, [layer, head]."""
        return self.windows(share) > self.half

    def caches(self, share: float) -> list[CacheBytes]:
        """Return the bytes of each layer's cache.

        Zeros where nothing is known of it, and where a layer reads that of an earlier one, which
        then has the largest window of both.
        """
        windows, entries = self.windows(share), self.cache_entry.tolist()
        own = [
            self._windows_of_cache(i, windows[i][self.is_measured[i]]) for i in range(len(entries))
        ]
        for i, entry in enumerate(entries):
            if 0 <= entry < i and len(own[i]) == len(own[entry]):
                own[entry], own[i] = np.maximum(own[entry], own[i]), own[i][:0]
        return [self._cache_of(i, needed) for i, needed in enumerate(own)]

    def cache(self, share: float) -> CacheBytes | None:
        """Return the bytes of a cache, whole and with windows; None where nothing is known of it.

        The difference is an upper bound of what windows save on this prompt.
        """
        layers = self.caches(share)
        full = sum(one.full for one in layers)
        return CacheBytes(full, sum(one.windowed for one in layers)) if full else None

    def _windows_of_cache(self, layer: int, windows: Array) -> Array:
        """Return the largest window of the query heads that share a head of keys, [key head]."""
        heads = int(self.cache_heads[layer])
        if not 0 < heads <= windows.size or not self.is_causal:
            return np.zeros(0, np.int64)
        groups = np.array_split(windows, heads)  # of query heads, one after the other
        return np.array([group.max(initial=0) for group in groups])

    def _cache_of(self, layer: int, windows: Array) -> CacheBytes:
        """Return the bytes of a layer's cache whose heads have these windows."""
        size, limit = max(0, int(self.cache_bytes[layer])), int(self.limits[layer])
        keys = int(np.minimum(windows + FIRST_KEYS, limit).sum())
        return CacheBytes(len(windows) * limit * size, keys * size)


def _bin_of(mass: Array, share: float) -> Array:
    """Return the bin up to which the bins hold a share of what the first keys leave, [...]."""
    sums = np.cumsum(np.nan_to_num(mass[..., 1:]).astype(np.float64), -1)
    is_enough = sums >= share * sums[..., -1:] - _ROUNDING
    return np.asarray(is_enough.argmax(-1))


class ContextTrace(Readable, Protocol):
    """A trace, as far as the use of its context needs it."""

    @property
    def prompt_tokens(self) -> int:
        """The number of positions of the prompt."""


class Contextual:
    """The method of a trace that says how much of the context its heads use."""

    def context_use(self: ContextTrace) -> ContextUse | None:
        """Return how far back each head attends; None where it is not measured.

        Examples:
            >>> from attentropy import extract
            >>> use = extract(context=True).context_use()
            >>> use.windows(0.95).shape  # layer, head
            (8, 4)
        """
        return context_use(self)


@once_per_trace
def context_use(trace: ContextTrace) -> ContextUse | None:
    """Return how much of the context the heads of a trace use; see `Trace.context_use`."""
    needed = (
        "context_mass", "context_uniform", "context_reach", "context_bin", "cache_heads",
        "cache_bytes",
    )  # fmt: skip
    if any(name not in trace for name in needed):
        return None
    mass = trace["context_mass"]
    if not np.isfinite(mass).any():
        return None
    tokens = trace.prompt_tokens
    limits, is_causal = np.full(len(mass), tokens, np.int64), True
    if "visible" in trace:
        visible = trace["visible"][:, :tokens]
        limits = np.maximum(1, visible.max(1)).astype(np.int64)
        is_causal = bool((visible[:, 0] <= 1).all())
    # Earlier traces do not say which layers share keys.
    entries = trace["cache_entry"] if "cache_entry" in trace else np.arange(len(mass))
    return ContextUse(
        tokens, trace["layer"], trace["context_bin"].astype(np.int64), mass,
        trace["context_uniform"], trace["context_reach"], limits, trace["cache_heads"],
        trace["cache_bytes"], entries, is_causal,
    )  # fmt: skip
