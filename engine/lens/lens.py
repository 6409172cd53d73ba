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

from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.sites import Point, kept
from attentropy.engine.model.devices import fetched, home
from attentropy.engine.model.layers import decoder_layers
from attentropy.kernels.ops import VocabularyResult, vocabulary

# Rows that are normed and read at once: a float32 copy of all of them would be a second prompt.
_ROWS = 4096


@dataclass(frozen=True)
class Lens:
    """The way from a residual [N, d] to the vocabulary: norm, head, scale and softcap.

    `norm` is all that lies between the last layer and the unembedding.
    """

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
            self._normed(residual),
            self.weight.detach(),
            bias=None if self.bias is None else self.bias.detach(),
            scale=self.scale,
            softcap=self.softcap,
            top_k=top_k,
            targets=None if targets is None else targets.to(device),
            final=None if final is None else self._normed(final),
        )

    def _normed(self, residual: Tensor) -> Tensor:
        """The norm may be on another device than the layer before it, or the head after it."""
        device = self.weight.device
        return cast(Tensor, self.norm(residual.to(home(self.norm, device)))).to(device)


def find_lens(model: PreTrainedModel, input_ids: Tensor) -> Lens:
    """The lens of `model`, checked on a short prompt [1, n].

    Raises `LensRefused` where the last residual, read so, is not the model's own logits.
    """
    layers = decoder_layers(model)
    head = model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise LensRefused(f"{type(model).__name__} has no output embeddings to read with")
    steps: list[_Step] = []
    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = [module for module in model.modules() if id(module) not in inside]
    handles = [module.register_forward_pre_hook(_began(steps)) for module in outside]
    handles += [module.register_forward_hook(_ended(steps)) for module in outside]
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
    return _matching(model, head, _way(steps, residual, head), residual, logits)


@dataclass
class _Step:
    """One module's call outside the decoder layers, in the order in which they began."""

    module: nn.Module
    given: Tensor
    made: Tensor | None = None


def _began(steps: list[_Step]) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            steps.append(_Step(module, args[0]))

    return hook


def _ended(steps: list[_Step]) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            mine = [s for s in steps if s.module is module and s.given is args[0]]
            if mine:
                mine[-1].made = output

    return hook


class _UpToHead(nn.Module):
    """What a block that holds the head does before it: a head with layers of its own."""

    class _Reached(Exception):
        pass

    def __init__(self, block: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.block, self.head = block, head

    def forward(self, residual: Tensor) -> Tensor:
        reached: list[Tensor] = []

        def stop(module: nn.Module, args: tuple[Any, ...]) -> None:
            reached.append(args[0])
            raise self._Reached

        handle = self.head.register_forward_pre_hook(stop)
        try:
            self.block(residual)
        except self._Reached:
            pass
        finally:
            handle.remove()
        return reached[0]


def _way(steps: list[_Step], residual: Tensor, head: nn.Module) -> nn.Module:
    """The modules that lead from the last residual to the head, each fed by the one before.

    Usually one norm; none where the last layer feeds the head directly.
    """
    way: list[nn.Module] = []
    at = residual
    left = steps
    while True:
        found = next((i for i, step in enumerate(left) if _same(step.given, at)), None)
        if found is None or left[found].module is head:
            return way[0] if len(way) == 1 else nn.Sequential(*way)
        step, left = left[found], left[found + 1 :]
        if any(module is head for module in step.module.modules()):
            return nn.Sequential(*way, _UpToHead(step.module, head))
        if step.made is None:
            return nn.Sequential(*way)
        way.append(step.module)
        at = step.made


def _same(given: Tensor, kept: Tensor) -> bool:
    return given.data_ptr() == kept.data_ptr() and given.numel() == kept.numel()


def _matching(
    model: PreTrainedModel, head: nn.Module, norm: nn.Module, last: Tensor, logits: Tensor
) -> Lens:
    config = model.config.get_text_config()
    bias = fetched(head, "bias")
    wanted = logits[0].float()
    worst = float("inf")
    with torch.no_grad():
        plain = _plain(head, norm, last)
        plain = None if plain is None else plain.to(wanted.device)
        if plain is None or plain.shape != wanted.shape:
            raise LensRefused(
                f"the last residual of {type(model).__name__}, {list(last.shape)}, is not what its "
                "head reads (several streams, or other positions)"
            )
        coarse = {torch.float32: 1e-4, torch.float16: 1e-2}.get(logits.dtype, 5e-2)
        allowed = coarse * max(1.0, float(wanted.abs().max()))
        caps = _softcaps(config)
        named = [(cap, scale) for cap in caps for scale in _scales(config)]
        fitted = [(cap, _fitted(plain, wanted, cap)) for cap in caps]
        for candidates in (named, fitted):
            errors = [float((_shaped(plain, *c) - wanted).abs().max()) for c in candidates]
            worst = min(worst, *errors)
            if min(errors) <= allowed:
                softcap, scale = candidates[errors.index(min(errors))]
                weight = cast(Tensor, fetched(head, "weight"))
                return Lens(norm, weight, bias, scale, softcap)
    raise LensRefused(
        f"the lens of the last residual differs from the model's own logits by {worst:.3g}"
    )


def _shaped(plain: Tensor, softcap: float | None, scale: float) -> Tensor:
    got = plain * scale
    return got if softcap is None else softcap * torch.tanh(got / softcap)


def _plain(head: nn.Module, norm: nn.Module, last: Tensor) -> Tensor | None:
    """The head's output [n, V] for the last residual [n, d], before scale and softcap.

    None where the head has none for it, read as `Lens.read` will.
    """
    try:
        return cast(Tensor, head(norm(last))).float()
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None


def _softcaps(config: Any) -> list[float | None]:
    """What may cap the logits, by every name that says so; the check says whether it does."""
    caps = [
        float(value)
        for name, value in vars(config).items()
        if "logit" in name and "soft" in name and "cap" in name and "attn" not in name
        if isinstance(value, (int, float)) and value > 0
    ]
    return [*caps, None]


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


def _fitted(plain: Tensor, wanted: Tensor, softcap: float | None) -> float:
    """The scale that fits the logits best, for models that scale the residual before the head."""
    straight = wanted.double()
    if softcap is not None:
        straight = softcap * torch.atanh((straight / softcap).clamp(-1 + 1e-9, 1 - 1e-9))
    size = float((plain.double() ** 2).sum())
    return float((plain.double() * straight).sum()) / size if size else 1.0
