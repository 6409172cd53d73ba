"""All keys and values of a prompt: from a run's cache, or from a reading of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.attention.probe import MODEL_ERRORS, outputs
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import continuing
from attentropy.engine.sources.rows import Past


def past_in(cache: Any, tokens: int) -> Past | None:
    """Return the keys and values of the first `tokens` tokens in a run's cache, by layer.

    None where it dropped some, keeps them in fewer bits or in another form. Nothing is copied.
    """
    layers = getattr(cache, "layers", None) or ()
    return _past(layers) if layers and all(_is_whole(layer, tokens) for layer in layers) else None


def read_prompt(model: PreTrainedModel, ids: Tensor, chunk: int) -> Past:
    """Read a prompt [1, n] in chunks, and return its keys and values by layer.

    Without the model's configuration a cache keeps every key, those that a sliding window leaves
    behind too. Raises `AttentropyError` where the model does not run with such a cache.
    """
    cache = DynamicCache()
    for start in range(0, ids.shape[1], chunk):
        _read(model, ids[:, start : start + chunk], cache, keep=1)
    return _past(cache.layers)


def read_text(model: PreTrainedModel, ids: Tensor) -> tuple[Past, Tensor]:
    """Read a text [1, n] in one pass, and return its keys and values and all logits, float32.

    Raises as `read_prompt` does.
    """
    cache = DynamicCache()
    output = _read(model, ids, cache, keep=ids.shape[1])
    return _past(cache.layers), outputs(output)


def _read(model: Any, ids: Tensor, cache: DynamicCache, *, keep: int) -> Any:
    """Return the output of a pass that continues a cache, its logits of the last `keep` tokens."""
    try:
        with torch.no_grad(), without_recording(model):
            return model(ids, use_cache=True, logits_to_keep=keep, **continuing(cache))
    except AttentropyError:
        raise
    except MODEL_ERRORS as error:
        raise AttentropyError(
            f"{type(model).__name__} does not run with a cache that keeps every key "
            f"({type(error).__name__}), which hiding a passage needs"
        ) from error


def with_past(past: Past, tokens: int) -> DynamicCache:
    """Return a cache that has the first `tokens` tokens of `past`; they are not copied yet."""
    cache = DynamicCache()
    for tensors in past:
        layer = DynamicLayer()
        if tensors is not None and tokens:
            layer.lazy_initialization(*tensors)
            layer.keys, layer.values = (part[:, :, :tokens] for part in tensors)
        cache.layers.append(layer)
    return cache


def _is_whole(layer: Any, tokens: int) -> bool:
    # Subclasses may keep keys in another form: quantized ones in fewer bits.
    if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
        return False
    if not layer.is_initialized or layer.keys is None or layer.values is None:
        return False
    is_cut = layer.keys.shape[-2] != layer.get_seq_length()
    return not is_cut and layer.keys.shape[-2] >= tokens and layer.keys.shape[0] == 1


def _past(layers: Any) -> Past:
    return [
        None if getattr(layer, "keys", None) is None else (layer.keys, layer.values)
        for layer in layers
    ]
