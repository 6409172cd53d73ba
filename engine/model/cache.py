"""The cache of keys and values, whose name is `cache` from transformers 5.24 on.

Before, arguments and outputs called it `past_key_values`; that name now warns, and goes in 5.40.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from transformers import masking_utils
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

_NAMES = ("cache", "past_key_values")
# Models and masks take it under the same name.
_ARGUMENT = next(n for n in _NAMES if n in signature(masking_utils.create_causal_mask).parameters)


def cache_of(output: Any) -> Any:
    """Return the cache that a pass left in its output, None where it left none."""
    return cache_in(getattr(output, "__dict__", {}))  # an attribute's old name would warn


def cache_in(arguments: Mapping[str, Any]) -> Any:
    """Return the cache among a pass's arguments by name, None where there is none."""
    return next((arguments[name] for name in _NAMES if arguments.get(name) is not None), None)


def continuing(cache: Any) -> dict[str, Any]:
    """Return the argument with which a pass continues the cache; none for None."""
    return {} if cache is None else {_ARGUMENT: cache}


class CachePoint:
    """A cache as it is now, to which `restored` returns after passes that continued it.

    Layers that only grow are cut back, so that no second copy of a long prompt is in memory; of the
    others (sliding windows, states of linear attention), whose size does not grow, copies are kept.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        layers = getattr(cache, "layers", None)
        self._is_whole = layers is None
        self._saved: Any = copy.deepcopy(cache) if layers is None else [_saved(x) for x in layers]

    def restored(self) -> Any:
        """Return the cache as it was."""
        if self._is_whole:
            return copy.deepcopy(self._saved)
        del self._cache.layers[len(self._saved) :]  # those that came later
        for layer, saved in zip(self._cache.layers, self._saved, strict=True):
            if isinstance(saved, int):
                if layer.is_initialized and layer.get_seq_length() > saved:
                    layer.keys, layer.values = (
                        part[..., :saved, :] for part in (layer.keys, layer.values)
                    )
            else:
                vars(layer).update({name: _copied(value) for name, value in saved.items()})
        return self._cache


def _saved(layer: Any) -> int | dict[str, Any]:
    """Return the length of a layer that only grows; of any other layer all that it has."""
    if type(layer) is DynamicLayer:
        return int(layer.get_seq_length())
    if type(layer) is DynamicSlidingWindowLayer:  # it replaces its tensors and writes into none
        return dict(vars(layer))
    return {name: _copied(value) for name, value in vars(layer).items()}


def _copied(value: Any) -> Any:
    """Return a value in which nothing is shared that a layer could write into."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_copied(item) for item in value])
    return value
