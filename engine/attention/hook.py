"""transformers' attention call into ours: the registered functions, and who is listening."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from attentropy.engine.attention.masks import UnknownMask, describe_mask, read_dense
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.kernels.common.choice import Implementation
from attentropy.kernels.ops import AttentionResult, attention

NAME = "attentropy"

# Arguments that say nothing that the scores depend on: rotary positions are applied before the
# call, and lengths repeat what the mask description holds.
_HARMLESS = {
    "position_ids",
    "position_embeddings",
    "cache_position",
    "past_key_values",
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
    """Who hears of each attention call: a recorder."""

    stats: tuple[str, ...]
    impl: Implementation | None

    def stats_of(self, module: torch.nn.Module) -> tuple[str, ...]:
        """What to compute in this module's call; none where it is not to be recorded."""
        return self.stats

    def heard(
        self,
        module: torch.nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """`tensors` are query, key and value; `score` holds scale, softcap and the like."""


listener: ContextVar[Listener | None] = ContextVar("attentropy_listener", default=None)

# Who computes a call: the kernels; a profile puts what it times or compares with in their place.
attend: ContextVar[Callable[..., AttentionResult] | None] = ContextVar(
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
    """An attention interface of transformers: (out [B, N, H, Dv], no weights).

    query [B, Hq, Nq, D], key and value [B, Hkv, Nk, D or Dv], after rotary positions and cache.
    Raises `AttentropyError` where an argument would change the scores in a way that is unknown.
    """
    name = type(module).__name__
    described = isinstance(attention_mask, Visibility)
    if isinstance(attention_mask, Tensor):
        try:
            attention_mask = read_dense(attention_mask, query.shape[2], key.shape[2])
        except UnknownMask as error:
            raise UnknownMask(f"{name} gives attention {error}") from error
    if attention_mask is None:
        raise AttentropyError(f"{name} calls attention without a mask, so who sees whom is unknown")
    if dropout:
        raise AttentropyError("attention dropout is on; call model.eval() before recording")
    indices = extra.pop("indices", None)
    if indices is not None and not _select_all(indices, key.shape[2]):
        raise AttentropyError(
            f"{name} selects {indices.shape[-1]} of {key.shape[2]} keys for each query, which "
            "attentropy does not follow; shorten the text until it selects all"
        )
    for argument, given in extra.items():
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if argument not in _HARMLESS and (number or isinstance(given, Tensor)):
            raise AttentropyError(
                f"{name} passes {argument!r} to attention, which attentropy does not know; its "
                "entropies would be wrong"
            )
    mask = attention_mask.mask
    if (query.shape[2], key.shape[2]) != (mask.queries, mask.keys):
        raise AttentropyError(
            f"{name} has {query.shape[2]} queries over {key.shape[2]} keys where its mask has "
            f"{mask.queries} over {mask.keys}; attentropy cannot place them"
        )
    if described and mask.causal and sliding_window not in (None, mask.window):
        raise AttentropyError(
            f"{name} asks for a window of {sliding_window}, and its mask has "
            f"{mask.window}; its entropies would be wrong"
        )
    current = listener.get()
    score: dict[str, Any] = {"scale": scaling, "softcap": softcap}
    result = (attend.get() or attention)(
        query,
        key,
        value,
        **score,
        sinks=s_aux,
        **attention_mask.arguments(),
        stats=_stats(current, module, s_aux),
        impl=current.impl if current is not None else None,
    )
    if current is not None:
        current.heard(module, (query, key, value), attention_mask, score, result)
    return result.out.transpose(1, 2).contiguous(), None


def _select_all(indices: Tensor, keys: int) -> bool:
    """Whether sparse attention's choice [B, queries, k] leaves no key out."""
    if indices.shape[-1] != keys:
        return False
    return bool((indices.sort(-1).values == torch.arange(keys, device=indices.device)).all())


def _stats(
    current: Listener | None, module: torch.nn.Module, sinks: Tensor | None
) -> tuple[str, ...]:
    if current is None:
        return ()
    wanted = current.stats_of(module)
    return (*wanted, "sink_prob") if sinks is not None else wanted


def register() -> None:
    """Make the name known to transformers; without the mask interface padding would be dropped."""
    AttentionInterface.register(NAME, attention_forward)
    mask_interface: Callable[..., Any] = describe_mask
    AttentionMaskInterface.register(NAME, mask_interface)
