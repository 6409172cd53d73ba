"""The oracle of real models: eager attention, statistics and logit lens in float64.

Every formula is written out here, from whole rows of weights; nothing of the project is imported.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

SITES = ("residual", "attention", "mlp")
LOCAL = 64  # keys of the score `local`
SINKS = 4  # keys of `sink_mass`
_NAME = "float64-eager"


@dataclass
class Rows:
    """Whole rows of attention weights of one layer, float64 [head, query, key]."""

    weights: Tensor
    visible: Tensor  # bool [query, key]
    lse: Tensor
    size: Tensor  # max over keys of scale · Σ_d |q_d k_d|, the scale of the scores' rounding
    gap: Tensor  # difference of the two largest scores

    def statistics(self) -> dict[str, np.ndarray]:
        """Return the attention statistics [head, query]."""
        p = self.weights
        n = torch.arange(p.shape[-1], dtype=p.dtype)
        log = torch.where(p > 0, p, 1.0).log()
        entropy = -(p * log).sum(-1)
        values = {
            "entropy": entropy,
            "max_prob": p.amax(-1),
            "varentropy": (p * log.square()).sum(-1) - entropy.square(),
            "distance": (p * (n[:, None] - n)).sum(-1),
            "sink_mass": p[..., :SINKS].sum(-1),
            "lse": self.lse,
            "max_logit": self.lse + p.amax(-1).log(),
        }
        return {name: value.numpy() for name, value in values.items()}

    def scores(self, queries: slice) -> dict[str, np.ndarray]:
        """Return the head scores [head] over some queries."""
        p, visible = self.weights[:, queries], self.visible[queries]
        at = torch.arange(self.weights.shape[1])[queries]
        entropy = torch.from_numpy(self.statistics()["entropy"])[:, queries]
        counts = visible.sum(-1)
        later, two, sees_first = at >= 1, counts >= 2, visible[:, 0]
        keys = torch.arange(p.shape[-1])
        near = (keys > at[:, None] - LOCAL) & visible
        previous = (at[later] - 1)[None, :, None].expand(p.shape[0], -1, 1)
        values = {
            "sink": p[:, sees_first, 0].mean(-1),
            "previous": p[:, later].gather(-1, previous)[..., 0].mean(-1),
            "local": (p * near).sum(-1).mean(-1),
            "entropy": entropy[:, two].mean(-1),
            "diffuse": (entropy[:, two] / counts[two].log()).mean(-1),
        }
        return {name: value.numpy() for name, value in values.items()}

    def tile_means(self, queries: int, rows: int, columns: int) -> np.ndarray:
        """Return the map of the mean over heads over the first `queries`, by tiles."""
        mean = self.weights[:, :queries, :queries].mean(0).numpy()
        down, across = np.arange(0, queries, rows), np.arange(0, queries, columns)
        sums = np.add.reduceat(np.add.reduceat(mean, down, 0), across, 1)
        return sums / np.minimum(rows, queries - down)[:, None]


def rows_of(query: Tensor, key: Tensor, scaling: float, window: int | None) -> Rows:
    """Return the rows of causal attention; query [head, n, d], key [group, n, d] of any type."""
    query, key = query.double(), key.double().repeat_interleave(len(query) // len(key), 0)
    at = torch.arange(query.shape[1])
    visible = at <= at[:, None]
    if window:
        visible &= at > at[:, None] - window
    scores = (query @ key.mT * scaling).masked_fill(~visible, -torch.inf)
    size = (query.abs() @ key.abs().mT * scaling).masked_fill(~visible, 0.0).amax(-1)
    best = scores.topk(min(2, len(at)), -1).values
    gap = best[..., 0] - best[..., -1]
    return Rows(scores.softmax(-1), visible, scores.logsumexp(-1), size, gap)


@dataclass
class Passage:
    """What one pass over a whole text gave, all float64 numpy.

    logits [position, vocabulary]; states: [layer, position, width] by site, at `positions`; rows:
    one `Rows` per layer if `keeps` is true.
    """

    positions: Sequence[int]
    logits: Tensor | None = None
    states: dict[str, Tensor] = field(default_factory=dict)
    rows: list[Rows] = field(default_factory=list)


class ExactModel:
    """A transformers model whose attention, norms and matrices are float64."""

    def __init__(self, model: Any, dtype: torch.dtype = torch.float64) -> None:
        self.model = copy.deepcopy(model).to(dtype)
        self.model.set_attn_implementation(_NAME)

    @torch.no_grad()
    def read(self, ids: Sequence[int], positions: Sequence[int]) -> Passage:
        """Read a text in one pass; logits and states at `positions`."""
        passage = Passage(list(positions))
        outputs: dict[str, list[Tensor]] = {site: [] for site in SITES}
        hooks = [
            module.register_forward_hook(_listener(outputs[site], passage.positions))
            for layer in self.model.model.layers
            for site, module in _blocks(layer).items()
        ]
        try:
            with _exact_norms(), _collecting(passage.rows):
                keep = torch.tensor(passage.positions)
                result = self.model(torch.tensor([list(ids)]), use_cache=False, logits_to_keep=keep)
        finally:
            for hook in hooks:
                hook.remove()
        passage.logits = result.logits[0].double().log_softmax(-1)
        passage.states = {site: torch.stack(values).double() for site, values in outputs.items()}
        return passage

    @torch.no_grad()
    def lens(self, states: Tensor) -> Tensor:
        """Return ln P [position, vocabulary] of the logit lens."""
        with _exact_norms():
            head = self.model.lm_head.weight
            normed = self.model.model.norm(states.to(head.dtype))
        return (normed @ head.mT).double().log_softmax(-1)


def lens_statistics(own: Tensor, final: Tensor, targets: Tensor, k: int) -> dict[str, np.ndarray]:
    """Return the vocabulary statistics; own, final: ln P [position, vocabulary] of layer and model.

    `near`: how many tokens are so close to the target that float32 may rank them otherwise.
    """
    at_target = own.gather(-1, targets[:, None])
    top = own.topk(k, -1)
    values = {
        "lens_entropy": -(own.exp() * own).sum(-1),
        "lens_kl": (final.exp() * (final - own)).sum(-1),
        "lens_target_logprob": at_target[:, 0],
        "lens_rank": (own > at_target).sum(-1),
        "near": ((own - at_target).abs() < 1e-3).sum(-1) - 1,
        "lens_top_ids": top.indices,
        "lens_top_logprobs": top.values,
    }
    return {name: value.numpy() for name, value in values.items()}


def _blocks(layer: Any) -> dict[str, Any]:
    """Return the module whose output is the layer's at each site."""
    if hasattr(layer, "post_feedforward_layernorm"):  # Gemma adds the outputs of these norms
        norms = layer.post_attention_layernorm, layer.post_feedforward_layernorm
        return dict(zip(SITES, (layer, *norms), strict=True))
    return dict(zip(SITES, (layer, layer.self_attn, layer.mlp), strict=True))


def _listener(outputs: list[Tensor], positions: list[int]) -> Any:
    def listen(module: Any, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        outputs.append(first.reshape(-1, first.shape[-1])[positions].clone())

    return listen


_collected: list[Rows] = []  # where the pass that runs puts its rows


@contextmanager
def _collecting(rows: list[Rows]) -> Iterator[None]:
    global _collected
    before, _collected = _collected, rows
    try:
        yield
    finally:
        _collected = before


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: None, **options: Any
) -> tuple[Tensor, None]:
    """Attend in float64 whatever the model's type; see `AttentionInterface`."""
    window = getattr(module, "sliding_window", None)
    rows = rows_of(query[0], key[0], options["scaling"], window)
    _collected.append(rows)
    values = value[0].double().repeat_interleave(query.shape[1] // value.shape[1], 0)
    return (rows.weights @ values).transpose(0, 1)[None].to(query.dtype), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, lambda *arguments, **options: None)


@contextmanager
def _exact_norms() -> Iterator[None]:
    """Let the norms stay in the model's type: transformers computes them in float32."""
    norms = {
        LlamaRMSNorm: lambda self, x: self.weight * _normed(x, self.variance_epsilon),
        Gemma3RMSNorm: lambda self, x: (1.0 + self.weight) * _normed(x, self.eps),
    }
    before = {norm: norm.forward for norm in norms}
    try:
        for norm, forward in norms.items():
            norm.forward = forward
        yield
    finally:
        for norm, forward in before.items():
            norm.forward = forward


def _normed(x: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)
