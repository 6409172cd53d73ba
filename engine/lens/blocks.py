"""Find each decoder layer's attention block and MLP by what they do, not by their names.

Of the modules in a layer, the blocks are those whose outputs are added to the residual stream,
which a short pass shows. So a norm after the block (Gemma 2, OLMo 2), parallel blocks (Cohere,
GPT-NeoX) and a residual multiplier (Granite) are all read correctly, and a layer that combines its
parts in another way is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PretrainedConfig, PreTrainedModel

from attentropy.engine.attention.probe import CallList
from attentropy.engine.attention.recorder import Recorder, recording
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.additions import (
    ModuleOutput,
    attention_outputs,
    computing_module,
    explain_layer,
)
from attentropy.engine.lens.points import Point, Points, first_tensor
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.trace.text import count


@dataclass(frozen=True)
class ExplainedLayer:
    """What one layer adds to its residual stream.

    added: names of the modules whose outputs are added; the attention block first, where the layer
    `attends`. Empty where the layer's output could not be explained. blocks: for each of them the
    name of the module that computes it; the attention call's own module where nothing was
    explained.
    """

    modules: Mapping[str, nn.Module]
    attends: bool
    added: tuple[str, ...]
    factor: float
    blocks: tuple[str, ...]

    def point(self, name: str) -> Point:
        """Return the point at the module `name`."""
        return Point(self.modules[name], self.factor)


@dataclass(frozen=True)
class Blocks:
    """The attention block and the MLP of each layer, as a short pass showed them."""

    layers: Sequence[ExplainedLayer]

    def points(self, site: str) -> Points:
        """Return where `site` ("attention" or "mlp") leaves each layer.

        Raises `LensRefused` where a layer does not add its blocks up, or has no such block.
        """
        points = self._attention() if site == "attention" else self._mlp()
        modules = [point.module for point in points if point is not None]
        if not modules:
            raise LensRefused(f"no {site} block found in the decoder layers")
        if len(set(modules)) < len(modules):
            raise LensRefused(f"several layers share one {site} block")
        return points

    def computing(self, site: str) -> list[nn.Module | None]:
        """Return the module that computes each layer's attention block or MLP, None if unknown.

        It is the module of `points`, or where that only passes a value on (a norm after the block),
        the module that the value comes from. Nothing is refused: a layer that was not explained has
        the module of its attention call, and no MLP.
        """
        if site == "attention":
            return [
                layer.modules[layer.blocks[0]] if layer.attends else None for layer in self.layers
            ]
        names = self._mlp_names()
        modules: list[nn.Module | None] = []
        for layer in self.layers:
            at = next((i for i, name in enumerate(layer.added) if name in names), None)
            modules.append(None if at is None else layer.modules[layer.blocks[at]])
        return modules

    def _attention(self) -> Points:
        points: list[Point | None] = []
        for number, layer in enumerate(self.layers):
            if layer.attends and not layer.added:
                raise LensRefused(_unexplained(number))
            points.append(layer.point(layer.added[0]) if layer.attends else None)
        return points

    def _mlp(self) -> Points:
        names = self._mlp_names()
        if len(names) > 1:
            raise LensRefused(
                f"the MLP has different names in different layers ({', '.join(sorted(names))})"
            )
        name = next(iter(names), None)
        points: list[Point | None] = []
        for number, layer in enumerate(self.layers):
            if (layer.attends and not layer.added) or (
                name in layer.modules and name not in layer.added
            ):
                raise LensRefused(_unexplained(number))
            points.append(layer.point(name) if name is not None and name in layer.added else None)
        return points

    def _mlp_names(self) -> set[str]:
        """Return the names of what is added second, in layers that attend."""
        return {layer.added[1] for layer in self.layers if layer.attends and len(layer.added) > 1}


def _unexplained(layer: int) -> str:
    return f"layer {layer} does more than add an attention output and an MLP output to its input"


def find_blocks(model: PreTrainedModel, input_ids: Tensor) -> Blocks:
    """Watch one short pass [1, n] and explain each layer: after = before + attention + MLP.

    Raises `LensRefused` where the layers themselves are not found.
    """
    layers = decoder_layers(model)
    recorder = Recorder(model, stats=())
    with (
        torch.no_grad(),
        recording(model, recorder),
        watch_blocks(layers, recorder, model.config) as explained,
    ):
        model(input_ids, use_cache=False)
    return checked_blocks(layers, explained)


def checked_blocks(layers: Sequence[nn.Module], explained: Sequence[ExplainedLayer]) -> Blocks:
    """Return the blocks of a watched pass; `LensRefused` where not each layer ran once."""
    if len(explained) != len(layers):
        raise LensRefused(
            f"{count(len(layers), 'decoder layer')} gave {count(len(explained), 'output')} in one "
            "pass"
        )
    return Blocks(explained)


@contextmanager
def watch_blocks(
    layers: Sequence[nn.Module], recorder: Recorder | CallList, config: PretrainedConfig
) -> Iterator[list[ExplainedLayer]]:
    """Explain each of the decoder `layers` in the pass that runs while this is open.

    recorder: records the same pass, and so tells which modules call attention.
    """
    factors = [1.0]
    if (factor := getattr(config.get_text_config(), "residual_multiplier", None)) is not None:
        factors.insert(0, float(factor))
    explained: list[ExplainedLayer] = []
    handles: list[RemovableHandle] = []
    try:
        for layer in layers:
            handles += _LayerWatch(layer, recorder, factors, explained).hooks()
        yield explained
    finally:
        for handle in handles:
            handle.remove()


class _LayerWatch:
    """The hooks that explain one layer as soon as it has run; its outputs live no longer."""

    def __init__(
        self,
        layer: nn.Module,
        recorder: Recorder | CallList,
        factors: Sequence[float],
        explained: list[ExplainedLayer],
    ) -> None:
        self.layer = layer
        self.recorder = recorder
        self.factors = factors
        self.explained = explained
        self.modules = dict(layer.named_modules())
        self.before: Tensor | None = None
        self.outputs: list[ModuleOutput] = []

    def hooks(self) -> Iterator[RemovableHandle]:
        """Register the hooks on the layer and its modules, and yield their handles."""
        yield self.layer.register_forward_pre_hook(self._enter, with_kwargs=True)
        for name, module in self.modules.items():
            if module is not self.layer:
                yield module.register_forward_hook(self._output_hook(name), with_kwargs=True)
        yield self.layer.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs.get("hidden_states")
        self.before = hidden.clone() if isinstance(hidden, Tensor) else None
        self.outputs.clear()

    def _output_hook(self, name: str) -> Any:
        def collect(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            value = first_tensor(output)
            # Without an input, the module is shared with another layer, which is running.
            if self.before is None or not isinstance(value, Tensor):
                return
            width = self.before.shape[-1]
            inputs = (t.data_ptr() for t in (*args, *kwargs.values()) if isinstance(t, Tensor))
            if value.numel() == self.before.numel() and value.shape[-1] == width:
                self.outputs.append(ModuleOutput(name, tuple(inputs), value.reshape(-1, width)))

        return collect

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        modules = self.modules
        names = [o.name for o in self.outputs]
        once = [o for o in self.outputs if names.count(o.name) == 1]
        attending = [c.module for c in self.recorder.calls.values() if c.module in modules.values()]
        after = first_tensor(output)
        added: tuple[str, ...] = ()
        factor = 1.0
        if self.before is not None and self.before.shape == after.shape:
            attention = attention_outputs(modules, attending, once)
            added, factor = explain_layer(
                self.before, after, once, attention, self.factors, bool(attending)
            )
        blocks = [computing_module(name, once, modules) for name in added]
        if attending and not (
            blocks and any(attending[0] is part for part in modules[blocks[0]].modules())
        ):
            caller = next(name for name, part in modules.items() if part is attending[0])
            blocks[:1] = [caller]
        self.explained.append(
            ExplainedLayer(modules, bool(attending), added, factor, tuple(blocks))
        )
        self.before = None
        self.outputs.clear()
