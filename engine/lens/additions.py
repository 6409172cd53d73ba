"""Explain a decoder layer as a sum: its output is its input plus some modules' outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class ModuleOutput:
    """The output [n, d] of one module of a layer in the watched pass."""

    name: str
    input_addresses: tuple[int, ...]  # of the tensors that the module received
    value: Tensor


def explain_layer(
    before: Tensor,
    after: Tensor,
    outputs: Sequence[ModuleOutput],
    attention: Sequence[ModuleOutput],
    factors: Sequence[float],
    attends: bool,
) -> tuple[tuple[str, ...], float]:
    """Name the outputs that `after` adds to `before`, and return what each is multiplied by.

    outputs: those of modules that ran once. attention: the candidates for the attention block,
    which comes first in the result where the layer `attends`. The result is empty where no
    combination adds up.
    """
    before, after = (t.reshape(-1, t.shape[-1]) for t in (before, after))
    firsts = attention if attends else outputs[::-1]
    others = [o for o in outputs[::-1] if not attends or o not in attention]
    pairs = [(first, other) for first, other in product(firsts, others) if first is not other]
    for parts in (*pairs, *((first,) for first in firsts)):
        for factor in factors:
            if _adds_up(before, after, [part.value * factor for part in parts]):
                return tuple(part.name for part in parts), factor
    return (), 1.0


def attention_outputs(
    modules: Mapping[str, nn.Module],
    attending: Sequence[nn.Module],
    outputs: Sequence[ModuleOutput],
) -> list[ModuleOutput]:
    """Return the outputs that carry the attention's result, the latest first.

    They are those of the module that called attention, of the modules around it, and of the
    modules that received one of these outputs (a norm after the block).
    """
    carrying: list[ModuleOutput] = []
    for output in outputs:
        inside = list(modules[output.name].modules())
        is_around = any(module in inside for module in attending)
        if is_around or any(o.value.data_ptr() in output.input_addresses for o in carrying):
            carrying.append(output)
    return carrying[::-1]


def computing_module(
    name: str, outputs: Sequence[ModuleOutput], modules: Mapping[str, nn.Module]
) -> str:
    """Name the module with matrices whose value `name` passes on; often `name` itself."""
    at = next(i for i, output in enumerate(outputs) if output.name == name)
    while not any(parameter.ndim > 1 for parameter in modules[outputs[at].name].parameters()):
        addresses = outputs[at].input_addresses
        sources = [i for i in range(at) if outputs[i].value.data_ptr() in addresses]
        if not sources:
            return name
        at = sources[-1]  # the outermost module that returned this value
    return outputs[at].name


def _adds_up(before: Tensor, after: Tensor, parts: Sequence[Tensor]) -> bool:
    """Check that after = before + Σ parts, except for the rounding of these very additions.

    A part that is small compared with the rounding would pass whatever it is, so the error must
    not contain a share of any part either.
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
