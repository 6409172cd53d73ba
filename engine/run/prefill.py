"""Read a prompt in chunks, each continuing the cache that the one before left."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from attentropy.engine.attention.finite import finite_rows
from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.attention.probe import (
    MODEL_ERRORS,
    RecordedPass,
    difference,
    outputs,
    run_own,
)
from attentropy.engine.cost import memory as cost
from attentropy.engine.cost.memory import SMALLEST_DEFAULT_CHUNK, transient_bytes
from attentropy.engine.cost.size import ModelSize, model_size
from attentropy.engine.errors import AttentropyError, NoAttention, UsageError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.model.devices import device_of
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.run.probe import RunProbe
from attentropy.engine.trace.text import count

logger = logging.getLogger("attentropy.run")


def chunk_bounds(tokens: int, chunk: int) -> list[tuple[int, int]]:
    """Return the first token and the end of each pass."""
    return [(start, min(tokens, start + chunk)) for start in range(0, tokens, chunk)]


def read_chunk(model: Any, ids: Tensor, start: int, stop: int, cache: Any) -> Any:
    """Return the model's output over the tokens start … stop−1, with the cache for the next.

    cache: what the chunk before left, None before the first. A model that fails with a cache leaves
    none.
    """
    options = {"use_cache": model not in _without_cache, "logits_to_keep": 1}
    with torch.no_grad():
        return model(ids[:, start:stop], **options, **continuing(cache))


_chunks_refused: WeakKeyDictionary[PreTrainedModel, str | None] = WeakKeyDictionary()
_without_cache: WeakSet[PreTrainedModel] = WeakSet()  # those that fail where one is to be made


def why_whole(probe: RunProbe) -> str | None:
    """Return why the probe's model cannot read a prompt in chunks; None if it can.

    Each model is asked once, see `compare_chunks`.
    """
    model = probe.passes.model
    if model not in _chunks_refused:
        _chunks_refused[model] = compare_chunks(probe)
    return _chunks_refused[model]


def compare_chunks(probe: RunProbe) -> str | None:
    """Return how a short text in pieces differs from the same in one pass; None if it does not.

    Each of its three pieces continues the cache of the one before: state-space layers, say, do not
    always continue from where they were. The first is the probe's recorded pass.
    """
    model, ids, cuts = probe.passes.model, probe.passes.ids, list(probe.cuts)
    name = type(model).__name__
    recorded = _recorded(probe)
    parts, cache, start = [], None, 0
    if recorded is not None and recorded.cache is not None and recorded.tokens == cuts[0]:
        parts, cache, start = [outputs(recorded.output)], recorded.cache, cuts.pop(0)
    runner: Any = model
    try:
        with torch.no_grad(), without_recording(model):
            for stop in cuts:
                output = runner(ids[:, start:stop], use_cache=True, **continuing(cache))
                parts.append(outputs(output))
                cache, start = cache_of(output), stop
                if cache is None:
                    return f"{name} has no KV cache"
    except AttentropyError as error:  # what is refused of the whole text too, stops the run later
        return f"{name} cannot be recorded in chunks ({error})"
    except MODEL_ERRORS as error:
        reason = " ".join(str(error).split())[:120]
        logger.debug("reading in chunks failed", exc_info=True)
        if cache is None:
            _without_cache.add(model)
        what = "with a KV cache" if cache is None else "when it continues from its KV cache"
        return f"{name} fails {what} ({type(error).__name__}: {reason})"
    own = outputs(probe.passes.own)
    is_finite = finite_rows(own)[0]  # the others are the model's own, whatever the chunks
    distance = difference(own[:, is_finite], torch.cat(parts, 1)[:, is_finite], model.dtype)
    if distance is None:
        return None
    if (own_distance := _difference_of_fewer(probe)) is not None:
        why = " (its weights are quantized)" if getattr(model, "is_quantized", False) else ""
        return (
            f"the outputs of {name} depend on which tokens are read together; without attentropy "
            f"too, they differ by {own_distance:.3g}{why}"
        )
    return f"{name} gives different outputs in chunks (difference {distance:.3g})"


def _difference_of_fewer(probe: RunProbe) -> float | None:
    """Return how far a model's own outputs change where it reads fewer tokens at once.

    None where they do not. The columns in which LLM.int8 keeps more digits are chosen by the
    largest value in any of the tokens of a pass.
    """
    model, first = probe.passes.model, probe.cuts[0]
    fewer = outputs(run_own(model, probe.passes.ids[:, :first]))
    own = outputs(probe.passes.own)[:, :first]
    is_finite = finite_rows(own)[0]
    return difference(own[:, is_finite], fewer[:, is_finite], model.dtype)


def _recorded(probe: RunProbe) -> RecordedPass | None:
    """Return the probe's recorded pass; None where the model's attention cannot be recorded."""
    try:
        return probe.passes.recorded
    except NoAttention:
        return None


# By model: the configuration whose sizes were counted, and these.
_sizes: WeakKeyDictionary[PreTrainedModel, tuple[dict[str, Any], ModelSize | None]]
_sizes = WeakKeyDictionary()


def size_of(model: PreTrainedModel) -> ModelSize | None:
    """Return the model's sizes; None for a class that its configuration alone does not make.

    They are counted once, unless the configuration changes: that takes a tenth of a second.
    """
    config = model.config.to_dict()
    if model not in _sizes or _sizes[model][0] != config:
        _sizes[model] = config, _count_sizes(model)
    return _sizes[model][1]


def _count_sizes(model: PreTrainedModel) -> ModelSize | None:
    try:
        return model_size(model.config)
    except (AttentropyError, *MODEL_ERRORS):
        logger.debug("no model can be made from the configuration alone", exc_info=True)
        return None


def attention_flops(model: PreTrainedModel, tokens: int) -> float:
    """Return the operations of the attention over a prompt, 0 for a model of unknown sizes."""
    size = size_of(model)
    return 0.0 if size is None else size.attention_flops(tokens)


def chunk_tokens(
    model: PreTrainedModel, device: torch.device, states: int, memory: int | None, free: int | None
) -> int:
    """Return how many tokens a pass reads.

    What lives while one runs takes at most half of `memory`, or where that is None, an eighth of
    what is `free`. states: bytes that the lens keeps of a token while its pass runs. Raises
    `UsageError` where no chunk is small enough.
    """
    size = size_of(model)
    if size is None:
        return SMALLEST_DEFAULT_CHUNK
    chunk = cost.chunk_tokens(
        size, model.dtype.itemsize, on_cpu=device.type == "cpu", states=states, memory=memory,
        free=free,
    )  # fmt: skip
    needed = 2 * bytes_of_pass(model, chunk, states)
    if memory is not None and needed > memory:
        raise UsageError(
            f"`memory` is too small: a chunk of {count(chunk, 'token')} needs {needed >> 20:,} MiB"
        )
    return chunk


def bytes_of_pass(model: Any, tokens: int, states: int) -> int:
    """Return the bytes that live while a chunk of a model of known sizes runs.

    Weights and cache come besides.
    """
    size = size_of(model)
    assert size is not None
    return transient_bytes(size, tokens, model.dtype.itemsize) + tokens * states


def cache_tensors(cache: Any, start: int, stop: int) -> dict[str, Tensor]:
    """Return keys and values of the tokens start … stop−1, by layer."""
    tensors = {}
    for i, layer in enumerate(cache.layers):
        for kind in ("keys", "values"):
            tensors[f"{kind}.{i}"] = getattr(layer, kind)[:, :, start:stop].cpu().contiguous()
    return tensors


def restore_cache(
    model: PreTrainedModel, parts: Sequence[Mapping[str, Tensor]], tokens: int
) -> Any:
    """Return the cache that had what `cache_tensors` returned of each chunk in turn.

    tokens: how many it has. Raises `ValueError` where the parts are of other tokens.
    """
    cache = DynamicCache(config=model.config)
    for i, layer in enumerate(decoder_layers(model)):
        device = device_of(layer, torch.device("cpu"))
        keys, values = (
            torch.cat([part[f"{kind}.{i}"] for part in parts], 2).to(device)
            for kind in ("keys", "values")
        )
        if keys.shape[:3] != values.shape[:3] or (keys.shape[0], keys.shape[2]) != (1, tokens):
            raise ValueError("its keys and values are of other tokens")
        cache.update(keys, values, i)
    return cache


def check_keepable(model: Any, cache: Any) -> None:
    """Raise `UsageError` where the model's cache holds more or less than all keys and values."""
    layers = getattr(cache, "layers", None) or ()
    count = len(decoder_layers(model))
    if (
        type(cache) is not DynamicCache
        or len(layers) != count
        or any(type(layer) is not DynamicLayer for layer in layers)
    ):
        raise UsageError(
            f"`keep_cache` does not support the cache of {type(model).__name__}; leave it out "
            "(`resume=True` then reads the finished chunks again)"
        )
