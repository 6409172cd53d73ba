"""Watch that each pass continues the cache that the pass before it left.

Beam search reorders a cache between passes, assisted decoding and rollbacks cut it: the rows
recorded until then are no longer those of the sequence that is continued.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

from torch import Tensor, nn

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_in, cache_of


class CacheWatch:
    """The cache after the latest pass, and which tensors it had then."""

    def __init__(self) -> None:
        self._cache: Any = None
        self._left: list[tuple[ref[Tensor], int]] = []
        self._is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ignore the passes that are made while this is open: they are not of the sequence."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    @contextmanager
    def over(self, callers: Iterable[nn.Module]) -> Iterator[None]:
        """Watch the passes that begin with any of `callers` while open; raises as `check` does."""
        callers = tuple(callers)
        handles = [m.register_forward_pre_hook(self._before, with_kwargs=True) for m in callers]
        handles += [m.register_forward_hook(self._after, with_kwargs=True) for m in callers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self.check()

    def check(self) -> None:
        """Raise `AttentropyError` where the cache was touched after the last pass."""
        now = [(keys, _changes(keys)) for keys in _cached_keys(self._cache)]
        left = [(keys(), changes) for keys, changes in self._left]
        if len(now) != len(left) or any(
            keys is not before or changes != then
            for (keys, changes), (before, then) in zip(now, left, strict=True)
        ):
            raise AttentropyError(
                "the KV cache was reordered or cropped after a recorded pass (as in beam search or "
                "assisted decoding); use greedy decoding or sampling"
            )

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if self._is_paused:
            return
        before, cache = self._cache, cache_in(kwargs)
        try:
            self.check()
        finally:  # a pass that fails leaves nothing to compare with
            self._cache, self._left = None, []
        if before is None or cache is None or cache is before:
            return
        if int(cache.get_seq_length()) > 0:
            raise AttentropyError(
                "this pass does not continue from the KV cache that the previous pass left (as in "
                "assisted decoding, or with a copied cache); use one record() per sequence"
            )

    def _after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if self._is_paused:
            return
        cache = cache_of(output)
        self._cache = cache if cache is not None else cache_in(kwargs)
        self._left = [(ref(keys), _changes(keys)) for keys in _cached_keys(self._cache)]


def _cached_keys(cache: Any) -> list[Tensor]:
    """Return the keys of each layer of a cache of transformers, where the layer has any."""
    own = getattr(cache, "self_attention_cache", cache)  # of a decoder that may have an encoder
    keys = [getattr(layer, "keys", None) for layer in getattr(own, "layers", None) or ()]
    return [tensor for tensor in keys if isinstance(tensor, Tensor)]


def _changes(keys: Tensor) -> int:
    """Return how often a tensor was written to; 0 in inference mode, where that is unknown."""
    return 0 if keys.is_inference() else keys._version
