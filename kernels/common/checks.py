"""Checks of arguments that several operations share; each error names the call and its shapes."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from attentropy.kernels.common.implementations import IMPLEMENTATIONS
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score


class CallDescription:
    """A call and its arguments' shapes, as errors name it.

    The text is built only when an error needs it, since a compiler that traces the call cannot
    format symbolic sizes.
    """

    def __init__(self, name: str, **arguments: object) -> None:
        self.name = name
        self.arguments = arguments

    def __str__(self) -> str:
        parts = (f"{name} {describe(value)}" for name, value in self.arguments.items())
        return f"{self.name}({', '.join(parts)})"


def describe(value: object) -> str:
    """Return the shape of a tensor, or any other value as Python writes it."""
    return str(list(value.shape)) if isinstance(value, Tensor) else repr(value)


def check_implementation(call: CallDescription, impl: str | None) -> None:
    """Raise `ValueError` for an implementation that does not exist."""
    if impl is not None and impl not in IMPLEMENTATIONS:
        raise ValueError(f"{call}: impl must be one of {', '.join(IMPLEMENTATIONS)}, not {impl!r}")


def check_tensors(call: CallDescription, tensors: dict[str, Tensor], dims: int) -> None:
    """Raise unless all are floating-point tensors of `dims` dimensions on one device."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{call}: {name} must be a floating-point tensor")
        if tensor.ndim != dims:
            raise ValueError(f"{call}: {name} must have {dims} dimensions, not {tensor.ndim}")
    first, *others = tensors.values()
    if any(other.device != first.device for other in others):
        raise ValueError(f"{call}: the tensors are on different devices")


def check_inference(call: CallDescription, *tensors: Tensor | None) -> None:
    """Raise `RuntimeError` if a derivative or vmap is asked of an input."""
    present = [tensor for tensor in tensors if tensor is not None]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in present):
        raise RuntimeError(
            f"{call}: an input requires grad, and there is no backward pass; "
            "use torch.no_grad() or detach the input"
        )
    if torch.compiler.is_compiling():  # a compiler that traces the call sees no such tensor
        return
    if any(torch._C._functorch.is_batchedtensor(tensor) for tensor in present):
        raise RuntimeError(
            f"{call}: there is no rule for torch.func.vmap; put what it maps over into the batch"
        )
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in present):
        raise RuntimeError(
            f"{call}: an input has a tangent, and there is no forward-mode derivative; "
            "use the primal alone (torch.autograd.forward_ad.unpack_dual)"
        )


def check_integer(call: CallDescription, name: str, value: Any) -> int:
    """Return a whole number as it is; raise `TypeError` for anything else."""
    if isinstance(value, int | torch.SymInt) and not isinstance(value, bool):
        return value  # type: ignore[return-value]  # symbolic where a compiler traces the call
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{call}: {name} must be an integer, not {describe(value)}") from None


def check_size(call: CallDescription, name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number from `least` on; raise `TypeError` or `ValueError` for another."""
    size = check_integer(call, name, value)
    if size < least:
        raise ValueError(f"{call}: {name} must be at least {least}, not {value}")
    return size


def check_integers(call: CallDescription, name: str, tensor: Tensor) -> None:
    """Raise `TypeError` for a tensor whose entries are not whole numbers."""
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"{call}: {name} must have integers, not {tensor.dtype}")


def check_factors(call: CallDescription, scale: float | None, softcap: float | None) -> None:
    """Raise `ValueError` for a scale that is not finite, or a softcap that is not positive, too."""
    if scale is not None and not math.isfinite(scale):
        raise ValueError(f"{call}: scale must be finite, not {scale}")
    if softcap is not None and not (softcap > 0 and math.isfinite(softcap)):
        raise ValueError(f"{call}: softcap must be positive and finite, not {softcap}")


def check_targets(call: CallDescription, targets: Tensor, rows: int) -> None:
    """Raise unless the targets are integers [rows] or [rows, T]."""
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"{call}: targets must be integer ids, not {targets.dtype}")
    if targets.ndim not in (1, 2) or targets.shape[0] != rows:
        raise ValueError(f"{call}: targets must have shape [N] or [N, T], not {describe(targets)}")


def check_scores(
    call: CallDescription,
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
    last_keys: Tensor | None = None,
) -> tuple[Mask, Score]:
    """Return the mask and the score that the arguments describe.

    Raises `ValueError` for shapes, sizes, a scale or a softcap that do not fit, `TypeError` for
    sizes and positions that are not whole numbers.
    """
    batch, heads, queries, dim = q.shape
    if k.shape[0] != batch or k.shape[3] != dim:
        raise ValueError(f"{call}: q and k differ in batch size or head size")
    if dim == 0:
        raise ValueError(f"{call}: the head size must be at least 1")
    if heads and (k.shape[1] == 0 or heads % k.shape[1]):
        raise ValueError(
            f"{call}: the number of query heads ({heads}) must be a multiple of the number of "
            f"key heads ({k.shape[1]})"
        )
    window = None if window is None else check_size(call, "window", window)
    chunk = None if chunk is None else check_size(call, "chunk", chunk)
    check_factors(call, scale, softcap)
    keys = k.shape[2]
    for name, tensor, expected in (
        ("slopes", slopes, (heads,)),
        ("key_starts", key_starts, (batch,)),
        ("key_lengths", key_lengths, (batch,)),
        ("segments", segments, (batch, keys)),
        ("last_keys", last_keys, (batch, keys)),
    ):
        if tensor is not None and tuple(tensor.shape) != expected:
            raise ValueError(
                f"{call}: {name} must have shape {list(expected)}, not {describe(tensor)}"
            )
        if tensor is not None and name != "slopes":
            check_integers(call, name, tensor)
    offset = keys - queries
    if query_offset is not None:
        offset = check_integer(call, "query_offset", query_offset)
    mask = Mask(
        queries, keys, offset, causal, window, chunk, key_starts, key_lengths, segments, last_keys
    )
    scale = dim**-0.5 if scale is None else float(scale)
    return mask, Score(scale, None if softcap is None else float(softcap), slopes)


def check_range(
    call: CallDescription, name: str, limits: tuple[int, int], length: int
) -> tuple[int, int]:
    """Return a range (start, stop) within 0 … length; raise `ValueError` for any other."""
    start, stop = (check_integer(call, name, limit) for limit in limits)
    if not 0 <= start <= stop <= length:
        raise ValueError(f"{call}: ({start}, {stop}) is out of range (0 to {length})")
    return start, stop


def check_choice(call: CallDescription, name: str, value: str, choices: tuple[str, str]) -> None:
    """Raise `ValueError` unless the value is one of two."""
    if value not in choices:
        raise ValueError(f"{call}: {name} must be {choices[0]!r} or {choices[1]!r}, not {value!r}")
