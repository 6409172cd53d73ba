"""The logit lens: each layer's residual read as the model's own head would read it.

Final norm, unembedding, logit scale, softcap: all four belong to it. What was found is checked
against the model's own logits before anything is read (nostalgebraist 2020; Belrose et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.sites import LensRefused, Point, decoder_layers, kept
from attentropy.kernels.ops import VocabularyResult, vocabulary

# Rows that are normed and read at once: a float32 copy of all of them would be a second prompt.
_ROWS = 4096


@dataclass(frozen=True)
class Lens:
    """The way from a residual [N, d] to the vocabulary: norm, head, scale and softcap."""

    norm: nn.Module
    weight: Tensor  # [V, d]
    bias: Tensor | None  # [V]
    scale: float
    softcap: float | None

    def read(
        self,
        residual: Tensor,
        *,
        top_k: int = 5,
        targets: Tensor | None = None,
        final: Tensor | None = None,
    ) -> VocabularyResult:
        """Entropy, top-k and targets of the lens at each residual [N, d]; see `vocabulary`.

        final [N, d]: the last layer's residuals, whose distribution `kl` is taken from.
        """
        parts = []
        for first in range(0, max(1, len(residual)), _ROWS):
            rows = slice(first, first + _ROWS)
            parts.append(
                self._read_rows(
                    residual[rows],
                    None if targets is None else targets[rows],
                    None if final is None else final[rows],
                    top_k=top_k,
                )
            )
        if len(parts) == 1:
            return parts[0]
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}
        whole: dict[str, Any] = {
            name: None if column[0] is None else torch.cat(column)
            for name, column in columns.items()
        }
        return VocabularyResult(**whole)

    @torch.no_grad()
    def _read_rows(
        self, residual: Tensor, targets: Tensor | None, final: Tensor | None, *, top_k: int
    ) -> VocabularyResult:
        device = self.weight.device
        return vocabulary(
            self.norm(residual.to(device)),
            self.weight.detach(),
            bias=None if self.bias is None else self.bias.detach(),
            scale=self.scale,
            softcap=self.softcap,
            top_k=top_k,
            targets=None if targets is None else targets.to(device),
            final=None if final is None else self.norm(final.to(device)),
        )


def find_lens(model: PreTrainedModel, input_ids: Tensor) -> Lens:
    """The lens of `model`, checked on a short prompt [1, n].

    Raises `LensRefused` where the last residual, read so, is not the model's own logits.
    """
    layers = decoder_layers(model)
    head = model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise LensRefused(f"{type(model).__name__} has no output embeddings to read with")
    received: list[tuple[nn.Module, Tensor]] = []

    def receive(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            received.append((module, args[0]))

    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = [module for module in model.modules() if id(module) not in inside]
    handles = [module.register_forward_pre_hook(receive) for module in outside]
    ran: list[nn.Module] = []
    handles += [layer.register_forward_hook(lambda m, args, out: ran.append(m)) for layer in layers]
    last = Point(layers[-1])
    try:
        with torch.no_grad(), kept({"residual": [last]}) as states:
            logits = model(input_ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    residual = states["residual"][0]
    if len(ran) != len(layers) or residual is None:
        raise LensRefused(f"{len(ran)} outputs from {len(layers)} decoder layers")
    # A model whose last layer feeds the head directly has no norm of its own.
    norm = next(
        (m for m, given in received if _same(given, residual) and m is not head), nn.Identity()
    )
    return _matching(model, head, norm, residual, logits[0])


def _same(given: Tensor, kept: Tensor) -> bool:
    return given.data_ptr() == kept.data_ptr() and given.numel() == kept.numel()


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
