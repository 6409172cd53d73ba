"""The oracle: a model's own eager attention, its weights' entropies in float64."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Eager:
    """`logits` [B, N, V]; `entropies` [heads, queries] (nats, float64) of each attention call."""

    logits: Tensor
    entropies: list[Tensor]


def run_eager(model: Any, ids: Tensor, **extra: Any) -> Eager:
    """One pass without a cache under the model's own eager attention.

    The weights are those that `output_attentions` gives; where these are not one for each call
    (two calls in a layer, states of linear layers among them) those that the model's own
    `eager_attention_forward` returned.
    """
    model.set_attn_implementation("eager")
    returned: list[Tensor] = []
    with torch.no_grad(), _returned_weights(model, returned):
        output = model(ids, output_attentions=True, use_cache=False, **extra)
    given = [w for w in getattr(output, "attentions", None) or () if w is not None]
    weights = returned if returned and len(returned) != len(given) else given
    return Eager(output.logits, [entropy(w)[0] for w in weights])


@contextmanager
def _returned_weights(model: Any, into: list[Tensor]) -> Iterator[None]:
    """While open, what the eager functions of the model's source files return is kept too."""
    files = {sys.modules[type(module).__module__] for module in model.modules()}
    own = {file: f for file in files if (f := getattr(file, "eager_attention_forward", None))}

    def keeping(function: Any) -> Any:
        def attention(*args: Any, **kwargs: Any) -> Any:
            out, weights = function(*args, **kwargs)
            into.append(weights)
            return out, weights

        return attention

    try:
        for file, function in own.items():
            vars(file)["eager_attention_forward"] = keeping(function)
        yield
    finally:
        for file, function in own.items():
            vars(file)["eager_attention_forward"] = function


def entropy(weights: Tensor) -> Tensor:
    """[B, H, N, N] to entropies over the keys in float64, renormalised (learned sinks)."""
    p = weights.double()
    p = p / p.sum(-1, keepdim=True)
    return -(p * torch.where(p > 0, p, 1.0).log()).sum(-1)
