"""The prompt through the model in chunks, each continuing the cache that the one before left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.selfcheck import checked, difference, listening, outputs
from attentropy.engine.cost import memory as cost
from attentropy.engine.cost.memory import FEWEST, passing
from attentropy.engine.cost.size import model_size
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.devices import home
from attentropy.engine.model.layers import decoder_layers, layer_of

# The pieces in which a short text is read to see whether the cache carries all that it should.
_PROBE = (19, 38, 48)


def bounds(tokens: int, chunk: int) -> list[tuple[int, int]]:
    """First token and end of each pass."""
    return [(start, min(tokens, start + chunk)) for start in range(0, tokens, chunk)]


def read(model: Any, ids: Tensor, start: int, stop: int, cache: Any) -> Any:
    """The model's output over the tokens start … stop−1, its cache for those to come in it.

    cache: None before the first.
    """
    goes_on = {} if cache is None else {"past_key_values": cache}
    with torch.no_grad():
        return model(ids[:, start:stop], use_cache=True, logits_to_keep=1, **goes_on)


class Unheard(Listener):
    """Hears nothing: the same passes, not recorded.

    stats: what the attention of `layers` (of all, where that is None) computes for nobody, so that
    the implementation is the one that recorded the same passes, to the last bit.
    """

    impl = None

    def __init__(
        self, model: PreTrainedModel, stats: tuple[str, ...] = (), layers: Any = None
    ) -> None:
        self.model, self.stats, self.layers = model, stats, layers

    def stats_of(self, module: torch.nn.Module) -> tuple[str, ...]:
        there = self.layers is None or layer_of(self.model, module) in self.layers
        return self.stats if there else ()

    def heard(self, *call: Any) -> None:
        """Forget it."""


def unrecorded(model: PreTrainedModel, stats: tuple[str, ...] = (), layers: Any = None) -> Any:
    """While open, passes give what recorded ones do; see `Unheard`."""
    heard = Unheard(model, stats, layers)
    return listening(model, heard, masks_built=checked(model).masks_built)


def why_whole(model: PreTrainedModel, ids: Tensor) -> str | None:
    """Why the model cannot read a prompt in chunks; None if it can.

    A short text in three pieces, each continuing the cache of the one before, has to give what it
    gives in one: state-space layers, say, do not always go on from where they were.
    """
    name = type(model).__name__
    short = ids[:, : _PROBE[-1]]
    runner: Any = model
    parts, cache, start = [], None, 0
    try:
        with torch.no_grad(), unrecorded(model):
            whole = outputs(runner(short, use_cache=False))
            for stop in (min(end, short.shape[1]) for end in _PROBE):
                goes_on: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
                found = runner(short[:, start:stop], use_cache=True, **goes_on)
                parts.append(outputs(found))
                cache, start = getattr(found, "past_key_values", None), stop
                if cache is None:
                    return f"{name} has no cache to go on from"
    except AttentropyError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:120]
        return f"{name} does not go on from its cache ({type(error).__name__}: {said})"
    apart = difference(whole, torch.cat(parts, 1), model.dtype)
    if apart is not None:
        return f"{name} gives other outputs in chunks (by {apart:.3g})"
    return None


def chunk_tokens(
    model: PreTrainedModel, device: torch.device, states: int, memory: int | None, free: int | None
) -> int:
    """Tokens of a pass: so many that what lives while one runs takes at most half of `memory`, or
    where nobody has said how much that is, an eighth of what is `free`.

    states: bytes that the lens keeps of a token while its pass runs. Raises `UsageError` where no
    chunk is small enough.
    """
    try:
        size = model_size(model.config)
    except Exception:  # a class that its configuration alone does not make
        return FEWEST
    chunk = cost.chunk_tokens(
        size, model.dtype.itemsize, on_cpu=device.type == "cpu", states=states, memory=memory,
        free=free,
    )  # fmt: skip
    needed = 2 * bytes_of_pass(model, chunk, states)
    if memory is not None and needed > memory:
        raise UsageError(
            f"--memory is too little: a chunk of {chunk} tokens takes {needed >> 20} MiB"
        )
    return chunk


def bytes_of_pass(model: Any, tokens: int, states: int) -> int:
    """What lives while a chunk of so many tokens runs, beside weights and cache."""
    size = model_size(model.config)
    return passing(size, tokens, model.dtype.itemsize) + tokens * states


def saved(cache: Any, start: int, stop: int) -> dict[str, Tensor]:
    """Keys and values of the tokens start … stop−1, by layer."""
    found = {}
    for i, layer in enumerate(cache.layers):
        for kind in ("keys", "values"):
            found[f"{kind}.{i}"] = getattr(layer, kind)[:, :, start:stop].cpu().contiguous()
    return found


def restored(model: PreTrainedModel, parts: Sequence[Mapping[str, Tensor]]) -> Any:
    """The cache that held what `saved` gave of each chunk in turn."""
    cache = DynamicCache(config=model.config)
    for i, layer in enumerate(decoder_layers(model)):
        device = home(layer, torch.device("cpu"))
        keys, values = (
            torch.cat([part[f"{kind}.{i}"] for part in parts], 2).to(device)
            for kind in ("keys", "values")
        )
        cache.update(keys, values, i)
    return cache


def check_keepable(model: Any, ids: Tensor) -> None:
    """Raise `UsageError` where the model's cache holds something other than all keys and values."""
    with torch.no_grad():
        cache = getattr(model(ids, use_cache=True, logits_to_keep=1), "past_key_values", None)
    layers = getattr(cache, "layers", None) or ()
    count = len(decoder_layers(model))
    if (
        type(cache) is not DynamicCache
        or len(layers) != count
        or any(type(layer) is not DynamicLayer for layer in layers)
    ):
        raise UsageError(
            f"--keep-cache is for caches of plain keys and values, and {type(model).__name__} has "
            "another; leave it out, and --resume reads the finished chunks again"
        )
