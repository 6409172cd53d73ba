"""Compare attention call by call, on the same queries, keys and values as the model's own.

A model that rounds its activations (8-bit weights) gives other outputs for another order of the
same sums, and two of transformers' own implementations differ as much. So each call is given the
tensors of the model's own pass, and what the model continues with is its own result: nothing but a
call itself can differ.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from attentropy.engine.attention import hook
from attentropy.engine.attention.listening import attention_of
from attentropy.engine.attention.probe import difference, outputs, run_own, run_recorded
from attentropy.engine.errors import AttentropyError
from attentropy.kernels.ops import AttentionResult

_NAME = "attentropy_own"

logger = logging.getLogger("attentropy.attention")


@dataclass(frozen=True)
class _OwnCall:
    tensors: tuple[Tensor, Tensor, Tensor]
    out: Tensor  # [B, N, H, Dv]


@dataclass
class _OwnPass:
    """A pass of the attention named `implementation`, and its calls."""

    implementation: str
    calls: list[_OwnCall] = field(default_factory=list)


_own_pass: ContextVar[_OwnPass | None] = ContextVar("attentropy_own_pass", default=None)


class _Disagreement(AttentropyError):
    """A call that gives something else than the model's own."""


def calls_agree(
    model: PreTrainedModel, ids: Tensor, own: Tensor, *, masks_built: bool, first: int = 0,
    **extra: Any,
) -> bool:  # fmt: skip
    """Return whether every call gives what the model's own attention gives on the same tensors.

    ids [1, n], own: the model's own outputs over them. first: the first row that is compared; those
    before it are padding, and continue with the hook's results: what they change in the text shows.
    extra: arguments of the pass. Two passes are made: the model's own, whose tensors are kept, and
    one through the hook over the same.
    """
    try:
        calls = _own_calls(model, ids, own[:, first:], first, extra)
        with _compared(calls, first):
            recorded = run_recorded(model, ids, masks_built=masks_built, **extra)
    except AttentropyError:
        logger.debug("attention does not agree call by call", exc_info=True)
        return False
    return difference(own[:, first:], outputs(recorded.output)[:, first:], model.dtype) is None


def _own_calls(
    model: PreTrainedModel, ids: Tensor, own: Tensor, first: int, extra: dict[str, Any]
) -> list[_OwnCall]:
    """Return the calls of the model's own attention; raises where following changes its outputs."""
    AttentionInterface.register(_NAME, _own_attention)
    mask_interface: Callable[..., Any] = _own_mask
    AttentionMaskInterface.register(_NAME, mask_interface)
    followed = _OwnPass(str(model.config._attn_implementation))
    token = _own_pass.set(followed)
    try:
        with attention_of(model, _NAME):
            again = outputs(run_own(model, ids, **extra))
    finally:
        _own_pass.reset(token)
    if not followed.calls or difference(own, again[:, first:], model.dtype) is not None:
        raise _Disagreement("the model's own attention cannot be followed")
    return followed.calls


def _own_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **arguments: Any
) -> tuple[Tensor, None]:
    """Call the model's own attention and keep what it was given: an attention interface."""
    own = _own_pass.get()
    assert own is not None
    default = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    function = AttentionInterface().get_interface(own.implementation, cast(Any, default))
    if function is None:
        raise _Disagreement(f"{type(module).__name__} has an attention of its own")
    out = function(module, query, key, value, mask, **arguments)[0]
    own.calls.append(_OwnCall((query, key, value), out))
    return out, None


def _own_mask(*positional: Any, **arguments: Any) -> Any:
    """Build the mask as the model's own attention has it: a mask interface of transformers."""
    own = _own_pass.get()
    assert own is not None
    masks = AttentionMaskInterface()
    if own.implementation not in masks:
        return None
    return masks[own.implementation](*positional, **arguments)


@contextmanager
def _compared(calls: list[_OwnCall], first: int) -> Iterator[None]:
    """Compute the hook's calls on the tensors of `calls` while open; raise where one differs."""
    waiting = iter(calls)

    def compare(query: Tensor, key: Tensor, value: Tensor, **arguments: Any) -> AttentionResult:
        own = next(waiting, None)
        if own is None or [t.shape for t in own.tensors] != [t.shape for t in (query, key, value)]:
            raise _Disagreement("the calls through the hook are not the model's own")
        result = hook.attention(*own.tensors, **arguments)
        ours = result.out.transpose(1, 2)
        if (error := _relative_difference(own.out[:, first:], ours[:, first:])) is not None:
            raise _Disagreement(f"a call differs by {error:.3g} of its largest value")
        out = torch.cat([ours[:, :first], own.out[:, first:]], 1)
        return replace(result, out=out.transpose(1, 2))

    token = hook.attention_function.set(compare)
    try:
        yield
    finally:
        hook.attention_function.reset(token)
    if next(waiting, None) is not None:
        raise _Disagreement("the hook was not called as often as the model's own attention")


def _relative_difference(own: Tensor, ours: Tensor) -> float | None:
    """Return the largest difference as a share of the largest value, None for rounding alone."""
    largest = own.float().abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return difference(own.float() / largest, ours.float() / largest, own.dtype)
