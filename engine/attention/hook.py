"""The attention function that transformers calls, and the listener that is told of each call."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from attentropy.engine.attention.masks import UnknownMask, describe_mask, read_dense
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.text import count
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.ops import AttentionResult, attention

NAME = "attentropy"

# Arguments that the scores do not depend on: rotary positions are applied before the call, and
# lengths repeat what the mask description has.
_HARMLESS = {
    "position_ids",
    "position_embeddings",
    "cache_position",
    "past_key_values",
    "cache",
    "cu_seq_lens_q",
    "cu_seq_lens_k",
    "cos",
    "sin",
    "max_length_q",
    "max_length_k",
    "num_items_in_batch",
    "logits_to_keep",
}


class Listener(Protocol):
    """Something that is told of each attention call, such as a recorder."""

    stats: tuple[str, ...]
    impl: Implementation | None

    def stats_of(self, module: torch.nn.Module) -> tuple[str, ...]:
        """Return the statistics to compute in this module's call, none if it is not recorded."""
        return self.stats

    def on_attention(
        self,
        module: torch.nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        visibility: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Take one attention call.

        `tensors` are query, key and value; `score` holds scale, softcap and the like.
        """


@dataclass(frozen=True)
class Listening:
    """A listener, and the modules (their ids) of the model whose calls it is told of.

    masks_built: whether that model needs its masks built.
    """

    listener: Listener
    modules: frozenset[int]
    masks_built: bool


class Open:
    """The listeners that are open, the outermost first: those of every thread.

    `generate` often runs in a thread of its own, and its text is streamed to another.
    """

    listeners: tuple[Listening, ...] = ()


def listener_of(module: torch.nn.Module) -> Listener | None:
    """Return the innermost listener to a module's calls, None where there is none."""
    for listening in reversed(Open.listeners):
        if id(module) in listening.modules:
            return listening.listener
    return None


# The function that computes a call: None for the kernels; a profile sets what it times or compares.
attention_function: ContextVar[Callable[..., AttentionResult] | None] = ContextVar(
    "attentropy_attend", default=None
)


def attention_forward(
    module: torch.nn.Module,
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
    """Compute attention for a model: an attention interface of transformers.

    query [B, Hq, Nq, D], key and value [B, Hkv, Nk, D or Dv], after rotary positions and cache.
    Returns out [B, N, H, Dv] and no weights. Raises `AttentropyError` where an argument would
    change the scores in a way that is unknown.
    """
    visibility = visibility_of_call(
        module, attention_mask, (query.shape[2], key.shape[2]), dropout, sliding_window, extra
    )
    current = listener_of(module)
    score: dict[str, Any] = {"scale": scaling, "softcap": softcap}
    result = (attention_function.get() or attention)(
        query,
        key,
        value,
        **score,
        sinks=s_aux,
        **visibility.arguments(),
        stats=_stats(current, module, s_aux),
        impl=current.impl if current is not None else None,
    )
    if current is not None:
        current.on_attention(module, (query, key, value), visibility, score, result)
    return result.out.transpose(1, 2).contiguous(), None


def visibility_of_call(
    module: torch.nn.Module,
    attention_mask: Visibility | Tensor | None,
    sizes: tuple[int, int],
    dropout: float,
    sliding_window: int | None,
    extra: dict[str, Any],
) -> Visibility:
    """Return which keys a call's queries see, once its arguments are known to be harmless.

    sizes: the numbers of queries and keys. extra: the arguments that are neither named nor known.
    Raises `AttentropyError` as `attention_forward` does.
    """
    name = type(module).__name__
    queries, keys = sizes
    visibility = _visibility(name, attention_mask, queries, keys)
    if dropout:
        raise AttentropyError("attention dropout is on; call model.eval() before recording")
    _check_arguments(name, extra, keys)
    _check_mask(name, visibility, queries, keys)
    mask = visibility.mask
    is_described = isinstance(attention_mask, Visibility)
    if is_described and mask.causal and sliding_window not in (None, mask.window):
        raise AttentropyError(
            f"{name} has a sliding window of {sliding_window}, but its mask has a window of "
            f"{mask.window}; its entropies would be wrong"
        )
    return visibility


def _visibility(name: str, mask: Visibility | Tensor | None, queries: int, keys: int) -> Visibility:
    """Return the description of a call's mask; raises `AttentropyError` where there is none."""
    if isinstance(mask, Tensor):
        try:
            return read_dense(mask, queries, keys)
        except UnknownMask as error:
            raise UnknownMask(f"{name} uses {error}") from error
    if mask is None:
        raise AttentropyError(
            f"{name} calls attention without a mask, so it is unknown which keys each query sees"
        )
    return mask


def _check_arguments(name: str, extra: dict[str, Any], keys: int) -> None:
    """Raise `AttentropyError` for arguments that would change the scores in an unknown way."""
    indices = extra.pop("indices", None)
    if indices is not None and not _select_all(indices, keys):
        raise AttentropyError(
            f"{name} selects {indices.shape[-1]:,} of {count(keys, 'key')} for each query (sparse "
            "attention), which attentropy does not support; use a text so short that it "
            "selects all keys"
        )
    for argument, value in extra.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if argument not in _HARMLESS and (is_number or isinstance(value, Tensor)):
            raise AttentropyError(
                f"{name} passes {argument!r} to attention, which attentropy does not support; its "
                "entropies would be wrong"
            )


def _check_mask(name: str, visibility: Visibility, queries: int, keys: int) -> None:
    """Raise `AttentropyError` where a mask is not that of a call of this size."""
    mask = visibility.mask
    if (queries, keys) != (mask.queries, mask.keys):
        raise AttentropyError(
            f"{name} has {count(queries, 'query', 'queries')} and {count(keys, 'key')}, but "
            f"its mask is for {count(mask.queries, 'query', 'queries')} and "
            f"{count(mask.keys, 'key')}"
        )


def _select_all(indices: Tensor, keys: int) -> bool:
    """Return whether sparse attention's choice [B, queries, k] has every key."""
    if indices.shape[-1] != keys:
        return False
    return bool((indices.sort(-1).values == torch.arange(keys, device=indices.device)).all())


def _stats(
    current: Listener | None, module: torch.nn.Module, sinks: Tensor | None
) -> tuple[str, ...]:
    if current is None:
        return ()
    stats = current.stats_of(module)
    return (*stats, "sink_prob") if sinks is not None else stats


def register() -> None:
    """Register the name with transformers; without the mask interface padding would be dropped."""
    AttentionInterface.register(NAME, attention_forward)
    mask_interface: Callable[..., Any] = describe_mask
    AttentionMaskInterface.register(NAME, mask_interface)
