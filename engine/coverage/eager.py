"""The oracle: a model's own eager attention, its weights' entropies in float64."""

from __future__ import annotations

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
    """One pass without a cache under the model's own eager attention."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(ids, output_attentions=True, use_cache=False, **extra)
    weights = getattr(output, "attentions", None) or ()
    return Eager(output.logits, [entropy(w)[0] for w in weights if w is not None])


def entropy(weights: Tensor) -> Tensor:
    """[B, H, N, N] to entropies over the keys in float64, renormalised (learned sinks)."""
    p = weights.double()
    p = p / p.sum(-1, keepdim=True)
    return -(p * torch.where(p > 0, p, 1.0).log()).sum(-1)
