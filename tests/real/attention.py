"""What heads do and keys receive, from the whole attention weights of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LOCAL = 64  # keys of the score `local`
ENOUGH = 16  # keys that a row sees, for what is said of how focused a head is


@dataclass
class LayerAttention:
    """What the heads of a layer do over the queries of the prompt.

    heads: means [head] by name. received [key]: mean over heads and over the queries that see the
    key; seeing [key]: how many these are; uniform [key]: what uniform rows would give it. rows:
    how many of the layer's rows `normalized` is the mean of.
    """

    heads: dict[str, np.ndarray]
    received: np.ndarray
    seeing: np.ndarray
    uniform: np.ndarray
    rows: np.ndarray


@dataclass
class Attention(LayerAttention):
    """The same of all layers, which is the first axis."""

    @classmethod
    def of_layers(cls, layers: Sequence[LayerAttention]) -> Attention:
        """Return the layers as one."""
        names = layers[0].heads
        heads = {name: np.stack([one.heads[name] for one in layers]) for name in names}
        arrays = ("received", "seeing", "uniform", "rows")
        return cls(heads, *(np.stack([getattr(one, key) for one in layers]) for key in arrays))


def sum_up(weights: Tensor, hidden: list[int]) -> LayerAttention:
    """Return what the heads of a layer do; `hidden`: keys that are taken out of the rows."""
    n = weights.shape[-1]
    at = torch.arange(n)
    visible = _visible(weights)
    near = (at > at[:, None] - LOCAL) & visible
    heads = {
        "local": (weights * near).sum(-1).mean(-1),
        "previous": weights[:, at[1:], at[:-1]].mean(-1),
    }
    seeing = visible.sum(0)
    received = weights.mean(0).sum(0) / seeing.clamp_min(1)
    uniform = (visible / visible.sum(-1, keepdim=True)).sum(0) / seeing.clamp_min(1)
    two = visible.sum(-1) >= 2
    heads["all_keys"] = _normalized(weights[:, two], visible[two])
    visible[:, hidden] = False
    rows = visible.sum(-1) >= ENOUGH
    rows[hidden] = False
    heads["normalized"] = _normalized(weights[:, rows], visible[rows])
    values = {name: value.numpy() for name, value in heads.items()}
    arrays = (one.numpy() for one in (received, seeing, uniform, rows.sum()))
    return LayerAttention(values, *arrays)


def _normalized(weights: Tensor, visible: Tensor) -> Tensor:
    """Return the mean over rows of normalized entropy over the visible keys, [head]."""
    weights = weights.masked_fill(~visible, 0.0)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-300)
    entropy = -(weights * torch.where(weights > 0, weights, 1.0).log()).sum(-1)
    return (entropy / visible.sum(-1).log()).mean(-1)


def _visible(weights: Tensor) -> Tensor:
    """Return which keys each query sees: causal, and as far back as any head of the layer looks.

    A weight outside a window is exactly zero, one inside may underflow in some heads.
    """
    n = weights.shape[-1]
    at = torch.arange(n)
    visible = at <= at[:, None]
    distance = (at[:, None] - at)[(weights > 0).any(0)]
    reach = int(distance.max()) + 1 if len(distance) else n
    return visible & (at > at[:, None] - reach)
