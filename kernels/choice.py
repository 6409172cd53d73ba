"""Who computes an operation: the implementation that a call names, or the best one available."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor

from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.native.library import load, missing


def choose(
    call: object, impl: str | None, tensor: Tensor, limit: str | None, work: float | None = None
) -> Implementation:
    """Return `impl`, or for None the fastest: "triton" on a GPU, "native" on a CPU, or "portable".

    limit: what the Triton kernels cannot take of this call, if anything. work: the call's
    floating-point operations, None for an operation that the C code does not have. Raises
    `NotImplementedError` where an implementation is named that does not take the call,
    `ImportError` where one is named that is not installed.
    """
    if impl is None:
        if tensor.is_cuda and limit is None and has_triton():
            return "triton"
        if work is None or _native_limit(tensor) is not None:
            return "portable"
        return choose_on_cpu(work)
    if impl == "native":
        _require_native(call, tensor, work)
    if impl == "triton" and limit is not None:
        raise NotImplementedError(
            f"{call}: impl='triton' does not support {limit}; use impl='portable'"
        )
    if impl == "triton" and not has_triton():
        raise ImportError(f"{call}: impl='triton' needs triton, which is not installed")
    return cast(Implementation, impl)


_may_be_native: ContextVar[bool] = ContextVar("attentropy_native", default=True)


def choose_on_cpu(work: float) -> Implementation:
    """Return what computes calls of so many floating-point operations on a CPU by default."""
    return "native" if _may_be_native.get() and load(work) is not None else "portable"


@contextmanager
def same_on_cpu(implementation: str) -> Iterator[None]:
    """Stay with "portable" while open, so that the parts of a run agree to the last bit."""
    token = _may_be_native.set(_may_be_native.get() and implementation != "portable")
    try:
        yield
    finally:
        _may_be_native.reset(token)


def _require_native(call: object, tensor: Tensor, work: float | None) -> None:
    """Raise unless the C code takes the call and can be had."""
    limit = _native_limit(tensor) if work is not None else "this operation"
    if limit is not None:
        raise NotImplementedError(
            f"{call}: impl='native' does not support {limit}; use impl='portable'"
        )
    if reason := missing():
        raise ImportError(f"{call}: impl='native' cannot run: {reason}")


def _native_limit(tensor: Tensor) -> str | None:
    """Return what the C code cannot take of a call with these queries, in words."""
    if tensor.device.type != "cpu":
        return f"tensors on {tensor.device.type}"
    return "float64" if tensor.dtype == torch.float64 else None


# What the Triton kernels multiply.
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def attention_limit(last_keys: Tensor | None, *tensors: Tensor) -> str | None:
    """Return what the Triton kernels cannot take of these queries, keys and values, in words."""
    if last_keys is not None:
        return "last_keys"
    if max(tensor.shape[-1] for tensor in tensors) > 256:
        return "head sizes over 256"
    return _type_limit(*tensors)


def _type_limit(*tensors: Tensor) -> str | None:
    """Return which types of tensors the Triton kernels cannot multiply, in words."""
    types = {tensor.dtype for tensor in tensors}
    if others := sorted(str(dtype).removeprefix("torch.") for dtype in types - {*_TYPES}):
        return others[0]
    return "tensors of different types" if len(types) > 1 else None


def vocabulary_limit(
    hidden: Tensor, unembedding: Tensor, final: Tensor | None, top_k: int
) -> str | None:
    """Return what the vocabulary's Triton kernel cannot take of these arguments, in words."""
    if top_k > 32:
        return "a top_k over 32"
    return _type_limit(*(tensor for tensor in (hidden, unembedding, final) if tensor is not None))


@lru_cache(maxsize=1)
def has_triton() -> bool:
    """Return whether Triton is installed: the portable implementation needs it nowhere."""
    return find_spec("triton") is not None
