"""The oracle: a model's own eager attention, and its weights' entropies in float64."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Eager:
    """`logits` [B, N, V]; `entropies` [heads, queries] (nats, float64) of each attention call."""

    logits: Tensor
    entropies: list[Tensor]


def run_eager(model: PreTrainedModel, ids: Tensor, **extra: Tensor) -> Eager:
    """Run one pass without a cache under the model's own eager attention.

    The weights are those that `output_attentions` gives. Where there is not one for each call (two
    calls in a layer, states of linear layers among them), they are those that the model's own
    `eager_attention_forward` returned.
    """
    model.set_attn_implementation("eager")
    returned: list[Tensor] = []
    with torch.no_grad(), _collect_weights(model, returned):
        output = model(ids, output_attentions=True, use_cache=False, **extra)
    listed = [w for w in getattr(output, "attentions", None) or () if w is not None]
    weights = returned if returned and len(returned) != len(listed) else listed
    return Eager(output.logits, [entropy(w)[0] for w in weights])


@contextmanager
def _collect_weights(model: PreTrainedModel, weights: list[Tensor]) -> Iterator[None]:
    """Also collect in `weights` what the eager functions of the model's source files return."""
    files = {sys.modules[type(module).__module__] for module in model.modules()}
    own = {file: f for file in files if (f := getattr(file, "eager_attention_forward", None))}

    def collecting(function: Callable[..., Any]) -> Callable[..., Any]:
        def attention(*args: Any, **kwargs: Any) -> Any:
            out, call_weights = function(*args, **kwargs)
            weights.append(call_weights)
            return out, call_weights

        return attention

    try:
        for file, function in own.items():
            vars(file)["eager_attention_forward"] = collecting(function)
        yield
    finally:
        for file, function in own.items():
            vars(file)["eager_attention_forward"] = function


def entropy(weights: Tensor) -> Tensor:
    """Return the entropies [B, H, N] of weights [B, H, N, N] over the keys, in float64.

    The weights are renormalised: with learned sinks they sum to less than 1.
    """
    p = weights.double()
    p = p / p.sum(-1, keepdim=True)
    return -(p * torch.where(p > 0, p, 1.0).log()).sum(-1)
