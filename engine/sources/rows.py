"""Read rows of several variants over a prompt's cached keys, through transformers' interfaces.

The cache that a model is given here has the rows of this reading alone, and says that the prompt's
tokens come before them. So every architecture computes positions and masks as if they were there,
and `hidden_attention` reads their keys where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from attentropy.engine.attention.hook import visibility_of_call
from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.attention.listening import attention_of
from attentropy.engine.attention.masks import describe_mask
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.layers import layer_of
from attentropy.engine.sources.attention import Keys, Score, hidden_attention, received
from attentropy.engine.sources.hiding import Variant, in_layer

NAME = "attentropy_sources"

# Keys and values of each layer of a cache, [1, Hkv, n, D]; None for a layer that keeps none.
Past = Sequence[tuple[Tensor, Tensor] | None]


class _OwnLayer(CacheLayerMixin):
    """The rows of a reading in one layer, behind `before` tokens that are not here."""

    is_sliding = False

    def __init__(self, before: int) -> None:
        super().__init__()
        self.before = before

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Begin with no rows."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add rows, and return all rows of this reading."""
        keys, values = self.keys, self.values
        if keys is not None and values is not None:
            key_states = torch.cat([keys, key_states], 2)
            value_states = torch.cat([values, value_states], 2)
        self.keys, self.values, self.is_initialized = key_states, value_states, True
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of keys of the next pass, and the position of the first."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of tokens before the next row."""
        return self.before + (self.keys.shape[2] if self.keys is not None else 0)

    def get_max_length(self) -> int:
        """Return −1: there is no limit."""
        return -1


def own_rows(layers: int, before: int) -> Cache:
    """Return a cache for rows behind `before` tokens; more layers come when they are used."""
    cache = Cache(layers=[_OwnLayer(before) for _ in range(layers)])
    cache.layer_class_to_replicate = partial(_OwnLayer, before)  # type: ignore[assignment]
    return cache


@dataclass
class Rows:
    """One reading: what each variant hides of the tokens before it and of its own rows.

    past: the cached keys and values of the tokens before. mass: takes the weight of each key, the
    mean over the rows and heads of a call, with the layer and the number of rows.
    """

    model: PreTrainedModel
    past: Past
    before: int
    variants: Sequence[Variant]
    mass: Callable[[int, int, Tensor], None] | None = None
    cache: Cache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = own_rows(len(self.past), self.before)

    def parts(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Keys, ...]:
        """Return the keys of a call: those of the tokens before, and of this reading's rows."""
        own = Keys(self.before, key, value)
        if not self.before:
            return (own,)
        keys, values = self._before(module, key, value)
        if (keys.shape[1], keys.shape[3]) != (key.shape[1], key.shape[3]):
            raise _other_keys(module)
        return Keys(0, keys, values), own

    def _before(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of the tokens before, given those of a call's own rows.

        Some layers read those of an earlier one, and some keep a latent of them in the cache.
        """
        layer = layer_of(self.model, module)
        rows = [_tensors(one) for one in self.cache.layers]
        same = (i for i, own in enumerate(rows) if own[0] is key and own[1] is value)
        index = next(same, None)
        expand = getattr(module, "expand_kv", None)
        if index is None and layer < len(rows) and (expand or _are_equal(rows[layer], key, value)):
            index = layer
        past = self.past[index] if index is not None and index < len(self.past) else None
        if index is None or past is None:
            raise _other_keys(module)
        keys, values = (part[:, :, : self.before] for part in past)
        if rows[index][0] is not key and expand is not None:
            keys, values = expand(keys, values)
        return keys, values


def _tensors(layer: Any) -> tuple[Tensor | None, Tensor | None]:
    return layer.keys, layer.values


def _are_equal(own: tuple[Tensor | None, Tensor | None], *call: Tensor) -> bool:
    """Return whether a call has the keys and values that its layer added to the cache."""
    return all(
        a is not None and a.shape == b.shape and torch.equal(a, b)
        for a, b in zip(own, call, strict=True)
    )


def _other_keys(module: nn.Module) -> AttentropyError:
    name = type(module).__name__
    return AttentropyError(f"{name} attends to other keys or values than those in its cache")


_reading: ContextVar[Rows] = ContextVar("attentropy_rows")


@contextmanager
def switched(model: PreTrainedModel) -> Iterator[None]:
    """Switch a model's attention to readings while this is open, unless it is switched already."""
    if model.config._attn_implementation == NAME:
        yield
        return
    AttentionInterface.register(NAME, _attention)
    mask_interface: Callable[..., Any] = describe_mask
    AttentionMaskInterface.register(NAME, mask_interface)
    # The outer one decides whether the model's masks are built or described.
    with without_recording(model), attention_of(model, NAME):
        yield


@contextmanager
def reading(rows: Rows) -> Iterator[None]:
    """Let the model's passes be those of `rows` while this is open."""
    token = _reading.set(rows)
    try:
        with switched(rows.model):
            yield
    finally:
        _reading.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Visibility | Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    sliding_window: int | None = None,
    **extra: Any,
) -> tuple[Tensor, None]:
    """Compute a call's attention: an attention interface of transformers, see `hook`."""
    rows = _reading.get()
    parts = rows.parts(module, key, value)
    sizes = query.shape[2], parts[-1].stop
    visibility = visibility_of_call(module, attention_mask, sizes, dropout, sliding_window, extra)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    score = Score(scale, softcap, s_aux)
    layer = layer_of(rows.model, module)
    variants = in_layer(rows.variants, layer)
    out = hidden_attention(query, parts, visibility.mask, variants, score)
    if rows.mass is not None:
        rows.mass(layer, query.shape[2], received(query, parts, visibility.mask, score))
    return out.transpose(1, 2).contiguous(), None
