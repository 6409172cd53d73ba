"""Checks of arguments that several operations share; each error names the call and its shapes."""

from __future__ import annotations

import torch
from torch import Tensor

from attentropy.kernels.common.choice import IMPLEMENTATIONS
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
    """Raise `RuntimeError` if an input requires grad while grad is on."""
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        raise RuntimeError(
            f"{call}: an input requires grad, and there is no backward pass; "
            "use torch.no_grad() or detach the input"
        )


def check_softcap(call: CallDescription, softcap: float | None) -> None:
    """Raise `ValueError` for a softcap that is not positive."""
    if softcap is not None and not softcap > 0:
        raise ValueError(f"{call}: softcap must be positive, not {softcap}")


def check_targets(call: CallDescription, targets: Tensor, rows: int) -> None:
    """Raise unless the targets are integers [rows] or [rows, T]."""
    if targets.is_floating_point() or targets.dtype == torch.bool:
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

    Raises `ValueError` for shapes, sizes or a softcap that do not fit.
    """
    batch, heads, queries, dim = q.shape
    if k.shape[0] != batch or k.shape[3] != dim:
        raise ValueError(f"{call}: q and k differ in batch size or head size")
    if k.shape[1] == 0 or heads % k.shape[1]:
        raise ValueError(
            f"{call}: the number of query heads ({heads}) must be a multiple of the number of "
            f"key heads ({k.shape[1]})"
        )
    for name, size in (("window", window), ("chunk", chunk)):
        if size is not None and size < 1:
            raise ValueError(f"{call}: {name} must be at least 1, not {size}")
    check_softcap(call, softcap)
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
    offset = keys - queries if query_offset is None else int(query_offset)
    mask = Mask(
        queries, keys, offset, causal, window, chunk, key_starts, key_lengths, segments, last_keys
    )
    return mask, Score(dim**-0.5 if scale is None else float(scale), softcap, slopes)
