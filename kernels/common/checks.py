"""What every operation asks of its arguments; each error names the call and its shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attentropy.kernels.common.choice import IMPLEMENTATIONS
from attentropy.kernels.common.mask import Mask


class Call:
    """A call and its arguments' shapes, as errors name it; put into words only when one does, since
    a compiler that follows the call cannot put symbolic sizes into words."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __str__(self) -> str:
        parts = (f"{name} {shape(value)}" for name, value in self.arguments.items())
        return f"{self.name}({', '.join(parts)})"


def shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else repr(value)


def implementation(where: Call, impl: str | None) -> None:
    if impl is not None and impl not in IMPLEMENTATIONS:
        raise ValueError(f"{where}: impl={impl!r} is none of {', '.join(IMPLEMENTATIONS)}")


def tensors(where: Call, named: dict[str, Tensor], dims: int) -> None:
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{where}: {name} is not a floating-point tensor")
        if tensor.ndim != dims:
            raise ValueError(f"{where}: {name} has {tensor.ndim} dimensions, expected {dims}")
    first, *others = named.values()
    if any(other.device != first.device for other in others):
        raise ValueError(f"{where}: the tensors are on different devices")


def inference(where: Call, *tensors: Tensor | None) -> None:
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        raise RuntimeError(
            f"{where}: inference only, and an input requires grad; "
            "use torch.no_grad() or detach it yourself"
        )


def positive_softcap(where: Call, softcap: float | None) -> None:
    if softcap is not None and not softcap > 0:
        raise ValueError(f"{where}: softcap={softcap} is not positive")


def targets(where: Call, targets: Tensor, rows: int) -> None:
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"{where}: targets are {targets.dtype}, not ids")
    if targets.ndim not in (1, 2) or targets.shape[0] != rows:
        raise ValueError(f"{where}: targets {shape(targets)} is not [N] or [N, T]")


def scores(
    where: Call,
    q: Tensor,
    k: Tensor,
    scale: float | None,
    softcap: float | None,
    slopes: Tensor | None,
    causal: bool,
    window: int | None,
    chunk: int | None,
    key_starts: Tensor | None,
    key_lengths: Tensor | None,
    segments: Tensor | None,
    query_offset: int | None,
) -> tuple[Mask, float]:
    batch, heads, queries, dim = q.shape
    if k.shape[0] != batch or k.shape[3] != dim:
        raise ValueError(f"{where}: q and k differ in batch or head size")
    if k.shape[1] == 0 or heads % k.shape[1]:
        raise ValueError(
            f"{where}: {heads} query heads are not a multiple of {k.shape[1]} key heads"
        )
    for name, size in (("window", window), ("chunk", chunk)):
        if size is not None and size < 1:
            raise ValueError(f"{where}: {name}={size} is not at least 1")
    positive_softcap(where, softcap)
    keys = k.shape[2]
    for name, tensor, wanted in (
        ("slopes", slopes, (heads,)),
        ("key_starts", key_starts, (batch,)),
        ("key_lengths", key_lengths, (batch,)),
        ("segments", segments, (batch, keys)),
    ):
        if tensor is not None and tuple(tensor.shape) != wanted:
            raise ValueError(f"{where}: {name} {shape(tensor)} is not {list(wanted)}")
    offset = keys - queries if query_offset is None else int(query_offset)
    mask = Mask(queries, keys, offset, causal, window, chunk, key_starts, key_lengths, segments)
    return mask, dim**-0.5 if scale is None else float(scale)
