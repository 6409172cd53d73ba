"""The logit lens: each layer's residual read as the model's own head would read it.

Final norm, unembedding, logit scale, softcap: all four belong to it. What was found is checked
against the model's own logits before anything is read (nostalgebraist 2020; Belrose et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.errors import AttentropyError
from attentropy.kernels.ops import VocabularyResult, vocabulary


class LensRefused(AttentropyError):
    """The model's head cannot be reproduced from a residual; the reason in one line."""


@dataclass(frozen=True)
class Lens:
    """The way from a residual [N, d] to the vocabulary: norm, head, scale and softcap."""

    norm: nn.Module
    weight: Tensor  # [V, d]
    bias: Tensor | None  # [V]
    scale: float
    softcap: float | None

    def read(
        self, residual: Tensor, *, top_k: int = 5, targets: Tensor | None = None
    ) -> VocabularyResult:
        """Entropy, top-k and targets of the lens at each residual [N, d]; see `vocabulary`."""
        with torch.no_grad():
            hidden = self.norm(residual.to(self.weight.device))
            return vocabulary(
                hidden,
                self.weight.detach(),
                bias=None if self.bias is None else self.bias.detach(),
                scale=self.scale,
                softcap=self.softcap,
                top_k=top_k,
                targets=targets,
            )


def decoder_layers(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The model's decoder layers in order, [layers].

    Raises `LensRefused` where no list of modules has as many entries as the configuration says.
    """
    count = model.config.get_text_config().num_hidden_layers
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    for root in (decoder, model):
        for module in root.modules() if root is not None else ():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return list(module)
    raise LensRefused(f"no list of {count} decoder layers in {type(model).__name__}")


@contextmanager
def residuals(layers: Sequence[nn.Module], into: list[Tensor]) -> Iterator[None]:
    """While open, each layer's output [B, N, d] is appended to `into`, in call order."""

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        into.append((output[0] if isinstance(output, tuple) else output).detach())

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def find_lens(model: PreTrainedModel, input_ids: Tensor) -> Lens:
    """The lens of `model`, checked on a short prompt [1, n].

    Raises `LensRefused` where the last residual, read so, is not the model's own logits.
    """
    layers = decoder_layers(model)
    head = model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise LensRefused(f"{type(model).__name__} has no output embeddings to read with")
    kept: list[Tensor] = []
    received: list[tuple[nn.Module, Tensor]] = []

    def receive(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            received.append((module, args[0]))

    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = [module for module in model.modules() if id(module) not in inside]
    handles = [module.register_forward_pre_hook(receive) for module in outside]
    try:
        with torch.no_grad(), residuals(layers, kept):
            logits = model(input_ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    if len(kept) != len(layers):
        raise LensRefused(f"{len(kept)} outputs from {len(layers)} decoder layers")
    # A model whose last layer feeds the head directly has no norm of its own.
    norm = next(
        (m for m, given in received if _same(given, kept[-1]) and m is not head), nn.Identity()
    )
    return _matching(model, head, norm, kept[-1], logits)


def _same(given: Tensor, kept: Tensor) -> bool:
    return given.data_ptr() == kept.data_ptr() and given.shape == kept.shape


def _matching(
    model: PreTrainedModel, head: nn.Module, norm: nn.Module, last: Tensor, logits: Tensor
) -> Lens:
    config = model.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(head, "bias", None)
    wanted = logits.float()
    worst = float("inf")
    with torch.no_grad():
        plain = head(norm(last)).float()
        for scale in _scales(config):
            got = plain * scale
            if softcap is not None:
                got = softcap * torch.tanh(got / softcap)
            error = float((got - wanted).abs().max()) if got.shape == wanted.shape else worst
            worst = min(worst, error)
            coarse = {torch.float32: 1e-4, torch.float16: 1e-2}.get(logits.dtype, 5e-2)
            if error <= coarse * max(1.0, float(wanted.abs().max())):
                return Lens(norm, cast(Tensor, head.weight), bias, scale, softcap)
    raise LensRefused(
        f"the lens of the last residual differs from the model's own logits by {worst:.3g}"
    )


def _scales(config: Any) -> list[float]:
    """What the head's output may be multiplied by; the check says which of them it is."""
    scales = []
    if (factor := getattr(config, "logit_scale", None)) is not None:
        scales.append(float(factor))
    if (factor := getattr(config, "logits_scaling", None)) is not None:
        scales += [1.0 / float(factor), float(factor)]
    if (factor := getattr(config, "lm_head_multiplier", None)) is not None:
        scales.append(float(factor))
    return [*scales, 1.0]
