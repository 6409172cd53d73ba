"""Short passes over a model before it is recorded, each made once and shared by all that need it.

Weights that lie on a disk or in the host's memory are read again for every pass, so that the check
of the outputs, the lens and the cache are all taken from the same two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of
from attentropy.engine.model.inner import uncompiled
from attentropy.engine.model.layers import layer_of
from attentropy.kernels.common.implementations import Implementation

logger = logging.getLogger("attentropy.attention")

# What a model's own code may raise on input that it does not take.
MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ShortCall:
    """One attention call of a short pass: its queries, its query heads, and the module's."""

    rows: int
    heads: int
    module: nn.Module


class CallList(Listener):
    """The attention calls of a short pass by (layer, call)."""

    stats: tuple[str, ...] = ("entropy",)
    impl: Implementation | None = None

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.calls: dict[tuple[int, int], ShortCall] = {}
        self.has_sinks = False
        self.is_causal = True

    def on_attention(
        self, module: nn.Module, tensors: Any, visibility: Visibility, score: Any, result: Any
    ) -> None:
        """See `hook.Listener`."""
        layer = layer_of(self.model, module)
        index = sum(1 for at, _ in self.calls if at == layer)
        self.calls[layer, index] = ShortCall(visibility.queries, tensors[0].shape[1], module)
        self.has_sinks |= result.sink_prob is not None
        self.is_causal &= visibility.mask.causal


@dataclass(frozen=True)
class RecordedPass:
    """A short pass through the hook: its calls, its output, and whether its masks were built."""

    tokens: int
    calls: CallList
    output: Any
    masks_built: bool

    @property
    def cache(self) -> Any:
        """The cache that the pass left, None where it left none."""
        return cache_of(self.output)


class NeedsMask(AttentropyError):
    """A model that cannot run with the description of a mask."""


@dataclass
class Probe:
    """A few tokens `ids` [1, n], and the passes over them, made when they are first used.

    `use_cache`: whether the recorded pass leaves a cache; it then takes only the `first` tokens, so
    that others can continue it. `masks_built`: whether the model is known to need its masks built.
    `own_watch` and `recorded_watch` are open during the two passes; the second is made from the
    list of calls.
    """

    model: PreTrainedModel
    ids: Tensor
    first: int | None = None
    use_cache: bool = False
    masks_built: bool = False
    own_watch: AbstractContextManager[Any] | None = None
    recorded_watch: Callable[[CallList], AbstractContextManager[Any]] | None = None

    @cached_property
    def own(self) -> Any:
        """The output of the model's own attention over all tokens.

        Raises `AttentropyError` where the model does not run on token ids alone.
        """
        return run_own(self.model, self.ids, watch=self.own_watch)

    @cached_property
    def recorded(self) -> RecordedPass:
        """The pass through the hook over the `first` tokens.

        Masks are built where the model does not run with their descriptions, and all tokens are
        read where it does not run with a cache. Raises `AttentropyError` where it does not run then
        either.
        """
        masks = (True,) if self.masks_built else (False, True)
        attempts = [(built, self.use_cache) for built in masks]
        if self.use_cache:
            attempts += [(built, False) for built in masks]
        failure: NeedsMask | None = None
        for masks_built, use_cache in attempts:
            ids = self.ids[:, : self.first] if use_cache else self.ids
            try:
                return run_recorded(
                    self.model, ids, masks_built=masks_built, use_cache=use_cache,
                    watch=self.recorded_watch,
                )  # fmt: skip
            except NeedsMask as error:
                logger.debug("a short pass failed, masks built: %s", masks_built, exc_info=True)
                failure = error
        assert failure is not None
        raise failure


def run_own(
    model: Any, ids: Tensor, *, watch: AbstractContextManager[Any] | None = None, **extra: Any
) -> Any:
    """Return the output of the model's own attention over `ids`, without a cache.

    Raises `AttentropyError` where the model does not run on token ids alone.
    """
    try:
        with torch.no_grad(), uncompiled(), watch or nullcontext():
            return model(ids, use_cache=False, **extra)
    except AttentropyError:
        raise
    except MODEL_ERRORS as error:
        raise AttentropyError(
            f"{type(model).__name__} does not run on token ids alone, so attentropy cannot check "
            f"what it records ({_one_line(error)})"
        ) from error


def run_recorded(
    model: Any,
    ids: Tensor,
    *,
    masks_built: bool,
    use_cache: bool = False,
    watch: Callable[[CallList], AbstractContextManager[Any]] | None = None,
    **extra: Any,
) -> RecordedPass:
    """Return a pass over `ids` through the hook.

    Raises `NeedsMask` where the model fails, and `AttentropyError` for what the hook refuses.
    """
    calls = CallList(model)
    around = nullcontext() if watch is None else watch(calls)
    try:
        with torch.no_grad(), listening(model, calls, masks_built=masks_built), around:
            output = model(ids, use_cache=use_cache, **extra)
    except AttentropyError:
        raise
    except MODEL_ERRORS as error:
        raise NeedsMask(
            f"{type(model).__name__} does not run through transformers' attention interface "
            f"({_one_line(error)})"
        ) from error
    return RecordedPass(ids.shape[1], calls, output, masks_built)


def outputs(output: Any) -> Tensor:
    """Return logits, or the last hidden state of a model without a head, [1, n, size] float32.

    The logits of a classifier are [1, labels]: see `has_token_outputs`.
    """
    logits = getattr(output, "logits", None)
    return (output[0] if logits is None else logits).float()


def has_token_outputs(output: Any, tokens: int) -> bool:
    """Return whether a pass over `tokens` tokens gave an output for each of them."""
    values = outputs(output)
    return values.ndim == 3 and values.shape[1] == tokens


def difference(own: Tensor, ours: Tensor, dtype: torch.dtype) -> float | None:
    """Return the largest difference, None where the type's rounding explains it.

    Logits of −inf on both sides do not differ.
    """
    coarse = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2}.get(dtype, 5e-2)
    if not own.numel():
        return None
    finite = own.isfinite()
    error = float(torch.where((own == ours) & ~finite, 0.0, (own - ours).abs()).max())
    scale = float(torch.where(finite, own, 0.0).abs().max())
    return None if error <= coarse * max(1.0, scale) else error


def _one_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:120]}"
