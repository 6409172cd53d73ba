"""Where a layer's lens sites leave the model: the residual stream, the attention block, the MLP.

Blocks are found by what they do, not by their names: of the modules in a layer, those whose outputs
are added to the residual stream, which a short pass shows. So a norm after the block (Gemma 2,
OLMo 2), parallel blocks (Cohere, GPT-NeoX) and a residual multiplier (Granite) are all read right,
and a layer that adds up in another way is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.recorder import Recorder, record
from attentropy.engine.errors import LensRefused
from attentropy.engine.model.layers import decoder_layers


@dataclass(frozen=True)
class Point:
    """A module whose output, times `factor`, is what a site adds to the residual stream or is."""

    module: nn.Module
    factor: float = 1.0


Points = Sequence[Point | None]  # one a layer, None where the layer lacks the site


@contextmanager
def kept(
    points: Mapping[str, Points], rows: Tensor | None = None
) -> Iterator[dict[str, list[Tensor | None]]]:
    """While open, a pass [1, N] leaves each point's value here, by site and layer.

    Values are [N, d], or [n, d] at `rows`; None where there is no point. Each point's module runs
    once a pass: `find_blocks` takes no other.
    """
    values: dict[str, list[Tensor | None]] = {site: [None] * len(p) for site, p in points.items()}
    handles = []
    for site, layers in points.items():
        for layer, point in enumerate(layers):
            if point is not None:

                def keep(
                    module: nn.Module,
                    args: Any,
                    output: Any,
                    into: list[Tensor | None] = values[site],
                    layer: int = layer,
                    factor: float = point.factor,
                ) -> None:
                    value = _first(output).detach()
                    value = value.reshape(-1, value.shape[-1])
                    value = value if rows is None else value[rows.to(value.device)]
                    into[layer] = value if factor == 1.0 else value * factor

                handles.append(point.module.register_forward_hook(keep))
    try:
        yield values
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Blocks:
    """What each layer adds to its residual stream, as a short pass showed; see `find_blocks`."""

    layers: Sequence[_Layer]

    def points(self, site: str) -> Points:
        """Where `site` ("attention" or "mlp") leaves each layer.

        Raises `LensRefused` where a layer does not add its blocks up, or has no such block.
        """
        found = self._attention() if site == "attention" else self._mlp()
        modules = [point.module for point in found if point is not None]
        if not modules:
            raise LensRefused(f"no {site} block found in the decoder layers")
        if len(set(modules)) < len(modules):
            raise LensRefused(f"layers share their {site} block")
        return found

    def computing(self, site: str) -> list[nn.Module | None]:
        """The module that computes each layer's attention block or MLP, as far as it is known.

        It is that of `points`, or where this only passes a value on (a norm after the block), the
        one it was given by. Nothing is refused: a layer that was not explained has its attention
        call's module and no MLP.
        """
        if site == "attention":
            return [
                layer.modules[layer.blocks[0]] if layer.attends else None for layer in self.layers
            ]
        names = {layer.added[1] for layer in self.layers if layer.attends and len(layer.added) > 1}
        found: list[nn.Module | None] = []
        for layer in self.layers:
            at = next((i for i, name in enumerate(layer.added) if name in names), None)
            found.append(None if at is None else layer.modules[layer.blocks[at]])
        return found

    def _attention(self) -> Points:
        found: list[Point | None] = []
        for number, layer in enumerate(self.layers):
            if layer.attends and not layer.added:
                raise LensRefused(_unexplained(number))
            found.append(layer.point(layer.added[0]) if layer.attends else None)
        return found

    def _mlp(self) -> Points:
        names = {layer.added[1] for layer in self.layers if layer.attends and len(layer.added) > 1}
        if len(names) > 1:
            raise LensRefused(
                f"the MLP's place differs between layers ({', '.join(sorted(names))})"
            )
        name = next(iter(names), None)
        found: list[Point | None] = []
        for number, layer in enumerate(self.layers):
            if (layer.attends and not layer.added) or (
                name in layer.modules and name not in layer.added
            ):
                raise LensRefused(_unexplained(number))
            found.append(layer.point(name) if name in layer.added else None)
        return found


def _unexplained(layer: int) -> str:
    return f"layer {layer} does not just add an attention block's and an MLP's output to its input"


@dataclass(frozen=True)
class _Layer:
    """`added`: names of the modules whose outputs are added; the attention block first, where the
    layer `attends`. Empty where the layer's output was not explained. `blocks`: names of what
    computes each of them; of the attention call's module where none is known."""

    modules: Mapping[str, nn.Module]
    attends: bool
    added: tuple[str, ...]
    factor: float
    blocks: tuple[str, ...]

    def point(self, name: str | None) -> Point:
        return Point(self.modules[name or ""], self.factor)


@dataclass(frozen=True, eq=False)
class _Output:
    name: str
    given: tuple[int, ...]  # addresses of the tensors that the module received
    value: Tensor  # [n, d]


def find_blocks(model: PreTrainedModel, input_ids: Tensor) -> Blocks:
    """Watch one short pass [1, n] and explain each layer: after = before + attention + MLP.

    Raises `LensRefused` where the layers themselves are not found.
    """
    layers = decoder_layers(model)
    factors = [1.0]
    if (factor := getattr(model.config.get_text_config(), "residual_multiplier", None)) is not None:
        factors.insert(0, float(factor))
    explained: list[_Layer] = []
    with torch.no_grad(), record(model, stats=()) as recorder:
        handles = [
            handle for layer in layers for handle in _watch(layer, recorder, factors, explained)
        ]
        try:
            model(input_ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
    if len(explained) != len(layers):
        raise LensRefused(f"{len(explained)} outputs from {len(layers)} decoder layers")
    return Blocks(explained)


def _watch(
    layer: nn.Module, recorder: Recorder, factors: Sequence[float], into: list[_Layer]
) -> Iterator[Any]:
    """Hooks that explain `layer` as soon as it is done; a layer's outputs live no longer."""
    modules = dict(layer.named_modules())
    before: list[Tensor] = []
    outputs: list[_Output] = []

    def enter(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given = args[0] if args else kwargs.get("hidden_states")
        before[:] = [given.clone()] if isinstance(given, Tensor) else []
        outputs.clear()

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        names = [o.name for o in outputs]
        once = [o for o in outputs if names.count(o.name) == 1]
        attending = [c.module for c in recorder.calls.values() if c.module in modules.values()]
        after = _first(output)
        added: tuple[str, ...] = ()
        factor = 1.0
        if before and before[0].shape == after.shape:
            found = _attention_outputs(modules, attending, once)
            added, factor = _explain(before[0], after, once, found, factors, bool(attending))
        blocks = [_computed_by(name, once, modules) for name in added]
        if attending and not (
            blocks and any(attending[0] is part for part in modules[blocks[0]].modules())
        ):
            caller = next(name for name, part in modules.items() if part is attending[0])
            blocks[:1] = [caller]
        into.append(_Layer(modules, bool(attending), added, factor, tuple(blocks)))
        before.clear()
        outputs.clear()

    def note(name: str) -> Any:
        def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            value = _first(output)
            if not before or not isinstance(value, Tensor):  # a module shared with another layer
                return
            size = before[0].shape[-1]
            given = (t.data_ptr() for t in (*args, *kwargs.values()) if isinstance(t, Tensor))
            if value.numel() == before[0].numel() and value.shape[-1] == size:
                outputs.append(_Output(name, tuple(given), value.reshape(-1, size)))

        return keep

    yield layer.register_forward_pre_hook(enter, with_kwargs=True)
    for name, module in modules.items():
        if module is not layer:
            yield module.register_forward_hook(note(name), with_kwargs=True)
    yield layer.register_forward_hook(leave)


def _attention_outputs(
    modules: Mapping[str, nn.Module], attending: Sequence[nn.Module], outputs: Sequence[_Output]
) -> list[_Output]:
    """Outputs that hold the attention's result: of the module that called it, of those around it,
    and of those that were given one of these (a norm after the block). Latest first."""
    found: list[_Output] = []
    for output in outputs:
        inside = list(modules[output.name].modules())
        around = any(module in inside for module in attending)
        if around or any(o.value.data_ptr() in output.given for o in found):
            found.append(output)
    return found[::-1]


def _computed_by(name: str, outputs: Sequence[_Output], modules: Mapping[str, nn.Module]) -> str:
    """The module with matrices that `name` passes the value of on; often itself."""
    at = next(i for i, output in enumerate(outputs) if output.name == name)
    while not any(parameter.ndim > 1 for parameter in modules[outputs[at].name].parameters()):
        given = outputs[at].given
        before = [i for i in range(at) if outputs[i].value.data_ptr() in given]
        if not before:
            return name
        at = before[-1]  # the outermost that made it
    return outputs[at].name


def _explain(
    before: Tensor,
    after: Tensor,
    outputs: Sequence[_Output],
    attention: Sequence[_Output],
    factors: Sequence[float],
    attends: bool,
) -> tuple[tuple[str, ...], float]:
    """Names of the outputs that `after` adds to `before`, and what each is multiplied by."""
    before, after = (t.reshape(-1, t.shape[-1]) for t in (before, after))
    first = attention if attends else outputs[::-1]
    others = [o for o in outputs[::-1] if not attends or o not in attention]
    candidates = [(a, o) for a, o in product(first, others) if a is not o]
    for parts in (*candidates, *((a,) for a in first)):
        for factor in factors:
            if _adds_up(before, after, [part.value * factor for part in parts]):
                return tuple(part.name for part in parts), factor
    return (), 1.0


def _adds_up(before: Tensor, after: Tensor, parts: Sequence[Tensor]) -> bool:
    """Whether after = before + Σ parts, but for the rounding of these very additions.

    A part that is small beside the rounding would pass whatever it is, so the error must not hold a
    share of any part either.
    """
    eps = torch.finfo(after.dtype).eps
    before, after, *parts = (t.cpu().double() for t in (before, after, *parts))
    size = before.abs() + after.abs() + sum(part.abs() for part in parts)
    step = (eps * size).clamp_min(1e-300)
    error = (after - before - sum(parts)) / step
    if not float(error.abs().max()) <= 2:
        return False
    shares = [part / step for part in parts]
    return all(float((error * s).sum().abs()) <= 0.02 * float((s * s).sum()) for s in shares)


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, (tuple, list)) else output
