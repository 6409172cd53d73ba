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

    Layers that only grow get `room` for so many tokens in place, so that a step copies none of
    them, and are cut back: no second copy of a long prompt is in memory. Of the others (sliding
    windows, states of linear attention), whose size does not grow, copies are kept; some models'
    caches have these states besides their layers.
    """

    def __init__(self, cache: Any, room: int) -> None:
        self._cache = cache
        layers: Any = getattr(cache, "layers", None)
        self._whole = copy.deepcopy(cache) if layers is None else None
        self._saved = [_saved(layer) for layer in layers or ()]
        self._besides = {} if layers is None else _besides_layers(cache)
        for i, layer in enumerate(layers or ()):
            if type(layer) is DynamicLayer and layer.is_initialized:
                layers[i] = _RoomyLayer(layer, room)

    def restored(self) -> Any:
        """Return the cache as it was."""
        if self._whole is not None or self._cache is None:
            return copy.deepcopy(self._whole)
        layers = self._cache.layers
        del layers[len(self._saved) :]  # those that came later
        for i, (layer, saved) in enumerate(zip(layers, self._saved, strict=True)):
            if isinstance(layer, _RoomyLayer):
                layer = layers[i] = layer.plain
            if isinstance(saved, int):
                _cut(layer, saved)
            else:
                vars(layer).update({name: _copied(value) for name, value in saved.items()})
        vars(self._cache).update(copy.deepcopy(self._besides))
        return self._cache


class _RoomyLayer(DynamicLayer):
    """A layer whose next `room` tokens are written in place behind those that it has."""

    def __init__(self, plain: Any, room: int) -> None:
        super().__init__()
        self.plain = plain
        self.is_initialized = True
        self.dtype, self.device = plain.keys.dtype, plain.keys.device
        self._buffers = [_with_room(part, room) for part in (plain.keys, plain.values)]
        self._use(plain.get_seq_length())

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the new tokens, and return all keys and values."""
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:stop, :] = new
        return self._use(stop)

    def _use(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (buffer[..., :tokens, :] for buffer in self._buffers)
        self.keys, self.values = keys, values
        self.plain.keys, self.plain.values = keys, values  # not a copy of their own
        return keys, values


def _with_room(tensor: torch.Tensor, room: int) -> torch.Tensor:
    *others, tokens, width = tensor.shape
    buffer = tensor.new_empty((*others, tokens + room, width))
    buffer[..., :tokens, :] = tensor
    return buffer


def _cut(layer: Any, tokens: int) -> None:
    """Cut a layer that only grows after its first tokens."""
    if layer.is_initialized and layer.get_seq_length() > tokens:
        layer.keys, layer.values = (part[..., :tokens, :] for part in (layer.keys, layer.values))


def _saved(layer: Any) -> int | dict[str, Any]:
    """Return the length of a layer that only grows; of any other layer all that it has."""
    if type(layer) is DynamicLayer:
        return int(layer.get_seq_length())
    if type(layer) is DynamicSlidingWindowLayer:  # it replaces its tensors and writes into none
        return dict(vars(layer))
    return {name: _copied(value) for name, value in vars(layer).items()}


def _besides_layers(cache: Any) -> dict[str, Any]:
    """Return copies of the lists and tensors that a cache has besides its layers."""
    others = {name: value for name, value in vars(cache).items() if name != "layers"}
    kinds = (torch.Tensor, list, dict)
    return {name: copy.deepcopy(v) for name, v in others.items() if isinstance(v, kinds)}


def _copied(value: Any) -> Any:
    """Return a value in which nothing is shared that a layer could write into."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_copied(item) for item in value])
    return value
