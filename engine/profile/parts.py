"""Where the parts of a pass begin and end: hooks on a model that tell a gauge.

A layer's blocks are found by what they do (see `sites`), so what is neither attention block nor MLP
is "other": norms, residual additions, and layers of another kind. "attention" is the block without
the kernel, which is the attention call itself. Of an MLP whose matrices lie loose in the layer
(OPT), only the last is "mlp".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentropy.engine.attention import hook as attention_hook
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.blocks import find_blocks
from attentropy.engine.lens.head import find_lens
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.layers import decoder_layers

PARTS = ("attention", "kernel", "mlp", "other", "lens", "writing")
# "writing" outside of the layers: a chunk's commit, and waiting for the last value to be written.
OUTSIDE = ("embedding", "norm", "head", "rest", "writing")


@dataclass(frozen=True)
class Parts:
    """The modules of each part; layers in order, None where a layer lacks the part."""

    layers: list[nn.Module]
    attention: list[nn.Module | None]
    mlp: list[nn.Module | None]
    outside: dict[str, nn.Module]

    def multiplications(self, experts: float = 1.0) -> list[float]:
        """FLOP a token of each layer's matrices in attention block and MLP; `experts` is the share
        of a mixture's that a token meets."""
        found = []
        for blocks in zip(self.attention, self.mlp, strict=True):
            flops = 0.0
            for name, parameter in (
                p for b in blocks if b is not None for p in b.named_parameters()
            ):
                used = experts if "experts." in name else 1.0
                flops += 2.0 * parameter.numel() * used if parameter.ndim > 1 else 0.0
            found.append(flops)
        return found

    @property
    def without_mlp(self) -> list[int]:
        """Layers that attend and whose MLP was not told apart from the rest."""
        pairs = enumerate(zip(self.attention, self.mlp, strict=True))
        return [i for i, (attention, mlp) in pairs if attention is not None and mlp is None]


def find_parts(model: Any, probe: Tensor) -> Parts:
    """Watch short passes [1, n]. Raises `LensRefused` where the decoder layers are not found."""
    blocks = find_blocks(model, probe)
    outside = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    try:
        norm = find_lens(model, probe).norm
        if any(norm is module for module in model.modules()):
            outside["norm"] = norm
    except LensRefused:  # then the norm is in the rest
        pass
    return Parts(
        list(decoder_layers(model)),
        blocks.computing("attention"),
        blocks.computing("mlp"),
        {name: module for name, module in outside.items() if module is not None},
    )


@contextmanager
def watched(parts: Parts, gauge: Gauge) -> Iterator[None]:
    """While open, `gauge` is told of every part but "kernel", "lens" and "writing"."""
    handles: list[Any] = []

    def watch(module: nn.Module, part: str, layer: int | None = None) -> None:
        def begin(module: nn.Module, args: Any) -> None:
            gauge.enter(part, layer)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            gauge.leave()

        handles.append(module.register_forward_pre_hook(begin))
        handles.append(module.register_forward_hook(end))

    for number, layer in enumerate(parts.layers):
        watch(layer, "other", number)
    # A block that several layers share belongs to the layer that is open.
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
def attending(gauge: Gauge, attend: Callable[..., Any]) -> Iterator[None]:
    """While open, `attend` computes the attention calls; each is "kernel" to `gauge`."""

    def timed(*args: Any, **how: Any) -> Any:
        with gauge.within("kernel"):
            return attend(*args, **how)

    token = attention_hook.attend.set(timed)
    try:
        yield
    finally:
        attention_hook.attend.reset(token)


def ordinary_ids(config: Any, special: set[int], tokens: int, seed: int = 0) -> list[int]:
    """`tokens` random ids of a vocabulary, none of them special, the same for the same seed."""
    text = config.get_text_config()
    left_out: set[Any] = set(special)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(text, name, None)
        left_out |= set(value) if isinstance(value, (list, tuple)) else {value}
    ordinary = torch.tensor([i for i in range(text.vocab_size) if i not in left_out])
    random = torch.Generator().manual_seed(seed)
    return ordinary[torch.randint(len(ordinary), (tokens,), generator=random)].tolist()
