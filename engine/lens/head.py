"""Find a model's head: what leads from the last layer's residual to the logits.

A short pass shows the way. What it shows is checked against the model's own logits before the lens
reads anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from attentropy.engine.attention.finite import why_not_finite
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.lens import Lens
from attentropy.engine.lens.points import Point, States, capture_states
from attentropy.engine.model.devices import fetch_parameter
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.trace.text import count


@dataclass
class HeadStep:
    """One module's call outside the decoder layers."""

    module: nn.Module
    input: Tensor
    output: Tensor | None = None


@dataclass
class HeadPass:
    """What a short pass showed of the way from the last layer to the logits.

    steps: the calls outside the decoder layers, in the order in which they began. layer_runs: how
    often a decoder layer ran. states: of the last layer, as "residual". logits: [1, n, V].
    """

    steps: list[HeadStep] = field(default_factory=list)
    layer_runs: int = 0
    states: States = field(default_factory=dict)
    logits: Tensor | None = None


def find_lens(model: PreTrainedModel, input_ids: Tensor) -> Lens:
    """Return the lens of `model`, checked on a short prompt [1, n].

    Raises `LensRefused` where the last residual, read through it, does not give the model's own
    logits.
    """
    with torch.no_grad(), watch_head(model) as head_pass:
        head_pass.logits = model(input_ids, use_cache=False).logits
    return checked_lens(model, head_pass)


@contextmanager
def watch_head(model: PreTrainedModel) -> Iterator[HeadPass]:
    """Watch the pass that runs while this is open; its `logits` are for the caller to set.

    Raises `LensRefused` where the model has no decoder layers or no head that are found.
    """
    layers = decoder_layers(model)
    _head(model)
    head_pass = HeadPass()

    def count_run(module: nn.Module, args: Any, output: Any) -> None:
        head_pass.layer_runs += 1

    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = [module for module in model.modules() if id(module) not in inside]
    handles = [module.register_forward_pre_hook(_start_hook(head_pass.steps)) for module in outside]
    handles += [module.register_forward_hook(_end_hook(head_pass.steps)) for module in outside]
    handles += [layer.register_forward_hook(count_run) for layer in layers]
    try:
        with capture_states({"residual": [Point(layers[-1])]}) as head_pass.states:
            yield head_pass
    finally:
        for handle in handles:
            handle.remove()


def checked_lens(model: PreTrainedModel, head_pass: HeadPass) -> Lens:
    """Return the lens that a watched pass shows; see `find_lens`."""
    layers = decoder_layers(model)
    residual = head_pass.states["residual"][0]
    if head_pass.layer_runs != len(layers) or residual is None:
        raise LensRefused(
            f"{count(len(layers), 'decoder layer')} gave {count(head_pass.layer_runs, 'output')} "
            "in one pass"
        )
    assert head_pass.logits is not None
    head = _head(model)
    norm = _modules_before_head(head_pass.steps, residual, head)
    return _matching_lens(model, head, norm, residual, head_pass.logits)


def _head(model: PreTrainedModel) -> nn.Module:
    head: nn.Module | None = model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise LensRefused(f"{type(model).__name__} has no output embeddings (unembedding matrix)")
    return head


def _start_hook(steps: list[HeadStep]) -> Any:
    def start(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            steps.append(HeadStep(module, args[0]))

    return start


def _end_hook(steps: list[HeadStep]) -> Any:
    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            started = [s for s in steps if s.module is module and s.input is args[0]]
            if started:
                started[-1].output = output

    return end


class _UpToHead(nn.Module):
    """What a block that contains the head does before it: a head with layers of its own."""

    class _Reached(Exception):
        pass

    def __init__(self, block: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.block, self.head = block, head

    def forward(self, residual: Tensor) -> Tensor:
        """Return the head's input for a residual."""
        inputs: list[Tensor] = []

        def stop(module: nn.Module, args: tuple[Any, ...]) -> None:
            inputs.append(args[0])
            raise self._Reached

        handle = self.head.register_forward_pre_hook(stop)
        try:
            self.block(residual)
        except self._Reached:
            pass
        finally:
            handle.remove()
        return inputs[0]


def _modules_before_head(steps: list[HeadStep], residual: Tensor, head: nn.Module) -> nn.Module:
    """Return the modules that lead from the last residual to the head, each fed by the one before.

    Usually one norm; an empty sequence where the last layer feeds the head directly.
    """
    modules: list[nn.Module] = []
    value = residual
    remaining = steps
    while True:
        at = next((i for i, step in enumerate(remaining) if _is_same(step.input, value)), None)
        if at is None or remaining[at].module is head:
            return modules[0] if len(modules) == 1 else nn.Sequential(*modules)
        step, remaining = remaining[at], remaining[at + 1 :]
        if any(module is head for module in step.module.modules()):
            return nn.Sequential(*modules, _UpToHead(step.module, head))
        if step.output is None:
            return nn.Sequential(*modules)
        modules.append(step.module)
        value = step.output


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def _matching_lens(
    model: PreTrainedModel, head: nn.Module, norm: nn.Module, residual: Tensor, logits: Tensor
) -> Lens:
    """Return the lens whose scale and softcap give the model's own logits for the last residual.

    Raises `LensRefused` where none does, and says by how much the best one differs.
    """
    config = model.config.get_text_config()
    bias = fetch_parameter(head, "bias")
    expected = logits[0].float()
    if (why := why_not_finite(logits)) is not None:
        raise LensRefused(why)
    worst = float("inf")
    with torch.no_grad():
        plain = _plain_logits(head, norm, residual)
        plain = None if plain is None else plain.to(expected.device)
        if plain is None or plain.shape != expected.shape:
            raise LensRefused(
                f"the output head of {type(model).__name__} does not read its last residual, of "
                "shape "
                f"{list(residual.shape)} (several streams, or different positions)"
            )
        coarse = {torch.float32: 1e-4, torch.float16: 1e-2}.get(logits.dtype, 5e-2)
        tolerance = coarse * max(1.0, float(expected.abs().max()))
        softcaps = _softcaps(config)
        named = [(cap, scale) for cap in softcaps for scale in _scales(config)]
        fitted = [(cap, _fitted_scale(plain, expected, cap)) for cap in softcaps]
        for candidates in (named, fitted):
            errors = [float((_shaped(plain, *c) - expected).abs().max()) for c in candidates]
            worst = min(worst, *errors)
            if min(errors) <= tolerance:
                softcap, scale = candidates[errors.index(min(errors))]
                weight = cast(Tensor, fetch_parameter(head, "weight"))
                return Lens(norm, weight, bias, scale, softcap)
    raise LensRefused(
        f"the lens's logits at the last layer differ from the model's own by {worst:.3g}"
    )


def _shaped(plain: Tensor, softcap: float | None, scale: float) -> Tensor:
    scaled = plain * scale
    return scaled if softcap is None else softcap * torch.tanh(scaled / softcap)


def _plain_logits(head: nn.Module, norm: nn.Module, residual: Tensor) -> Tensor | None:
    """Return the head's output [n, V] for the last residual [n, d], before scale and softcap.

    None where the head computes nothing from it when it is read as `Lens.read` will read it.
    """
    try:
        return cast(Tensor, head(norm(residual))).float()
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None


def _softcaps(config: PretrainedConfig) -> list[float | None]:
    """Return what may cap the logits, by every name that suggests so; the check decides."""
    softcaps = [
        float(value)
        for name, value in vars(config).items()
        if "logit" in name and "soft" in name and "cap" in name and "attn" not in name
        if isinstance(value, (int, float)) and value > 0
    ]
    return [*softcaps, None]


def _scales(config: PretrainedConfig) -> list[float]:
    """Return what the head's output may be multiplied by; the check decides."""
    scales = []
    if (factor := getattr(config, "logit_scale", None)) is not None:
        scales.append(float(factor))
    if (factor := getattr(config, "logits_scaling", None)) is not None:
        scales += [1.0 / float(factor), float(factor)]
    if (factor := getattr(config, "lm_head_multiplier", None)) is not None:
        scales.append(float(factor))
    return [*scales, 1.0]


def _fitted_scale(plain: Tensor, expected: Tensor, softcap: float | None) -> float:
    """Fit the scale to the logits, for models that scale the residual before the head."""
    uncapped = expected.double()
    if softcap is not None:
        uncapped = softcap * torch.atanh((uncapped / softcap).clamp(-1 + 1e-9, 1 - 1e-9))
    size = float((plain.double() ** 2).sum())
    return float((plain.double() * uncapped).sum()) / size if size else 1.0
