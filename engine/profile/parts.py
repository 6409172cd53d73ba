"""The parts of a pass: which modules they are, and the hooks that tell a gauge when each one runs.

A layer's blocks are found by what they do (`engine.lens.blocks`), so what is neither attention
block nor MLP is "other": norms, residual additions, and layers of another kind. "attention" is the
block without the kernel, which is the attention call itself. Of an MLP whose matrices lie loose in
the layer (OPT), only the last is "mlp".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from attentropy.engine.attention import hook as attention_hook
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.blocks import find_blocks
from attentropy.engine.lens.head import find_lens
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.layers import decoder_layers
from attentropy.kernels.ops import AttentionResult

PARTS = ("attention", "kernel", "mlp", "other", "lens", "writing")
# "writing" outside of the layers: a chunk's commit, and waiting for the last value to be written.
OUTSIDE = ("embedding", "norm", "head", "rest", "writing")


@dataclass(frozen=True)
class Parts:
    """The modules of each part; layers in order, None where a layer has no such part."""

    layers: list[nn.Module]
    attention: list[nn.Module | None]
    mlp: list[nn.Module | None]
    outside: dict[str, nn.Module]

    def multiplications(self, experts: float = 1.0) -> list[float]:
        """Return the FLOP per token of each layer's matrices, in attention block and MLP.

        experts: the share of a mixture's experts that a token is sent to.
        """
        layers = []
        for blocks in zip(self.attention, self.mlp, strict=True):
            flops = 0.0
            for block in blocks:
                for name, parameter in block.named_parameters() if block is not None else ():
                    share = experts if "experts." in name else 1.0
                    flops += 2.0 * parameter.numel() * share if parameter.ndim > 1 else 0.0
            layers.append(flops)
        return layers

    @property
    def without_mlp(self) -> list[int]:
        """Layers that attend and whose MLP could not be told from the rest."""
        pairs = enumerate(zip(self.attention, self.mlp, strict=True))
        return [i for i, (attention, mlp) in pairs if attention is not None and mlp is None]


def find_parts(model: PreTrainedModel, probe: Tensor) -> Parts:
    """Find the parts in short passes [1, n].

    Raises `LensRefused` where the decoder layers are not found.
    """
    blocks = find_blocks(model, probe)
    outside = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    try:
        norm = find_lens(model, probe).norm
        if any(norm is module for module in model.modules()):
            outside["norm"] = norm
    except LensRefused:  # the norm is then in the rest
        pass
    return Parts(
        list(decoder_layers(model)),
        blocks.computing("attention"),
        blocks.computing("mlp"),
        {name: module for name, module in outside.items() if module is not None},
    )


@contextmanager
def measure_parts(parts: Parts, gauge: Gauge) -> Iterator[None]:
    """Tell `gauge` when each part begins and ends, except "kernel", "lens" and "writing"."""
    handles: list[RemovableHandle] = []

    def watch(module: nn.Module, part: str, layer: int | None = None) -> None:
        def begin(module: nn.Module, args: Any) -> None:
            gauge.enter(part, layer)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            gauge.leave()

        handles.append(module.register_forward_pre_hook(begin))
        handles.append(module.register_forward_hook(end))

    for number, layer in enumerate(parts.layers):
        watch(layer, "other", number)
    # A block that several layers share belongs to the layer that is running.
    for part, modules in (("attention", parts.attention), ("mlp", parts.mlp)):
        for module in dict.fromkeys(m for m in modules if m is not None):
            watch(module, part)
    for name, module in parts.outside.items():
        watch(module, name)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def measure_attention(gauge: Gauge, attend: Callable[..., AttentionResult]) -> Iterator[None]:
    """Let `attend` compute the attention calls, and tell `gauge` that each is the part "kernel"."""

    def measured(*args: Any, **options: Any) -> AttentionResult:
        with gauge.within("kernel"):
            return attend(*args, **options)

    token = attention_hook.attention_function.set(measured)
    try:
        yield
    finally:
        attention_hook.attention_function.reset(token)
