"""Who computes an operation: the implementation that a call names, or the best one available."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, cast

import torch
from torch import Tensor

Implementation = Literal["triton", "portable", "reference"]

IMPLEMENTATIONS = ("triton", "portable", "reference")


def choose(call: object, impl: str | None, tensor: Tensor, limit: str | None) -> Implementation:
    """Return `impl`, or for None "triton" on a GPU unless a limit is met, otherwise "portable".

    `limit` names what the Triton kernels cannot take of this call, if anything. Raises
    `NotImplementedError` where triton is named and meets it, `ImportError` where it is named and
    not installed.
    """
    if impl is None:
        use_triton = tensor.is_cuda and limit is None and has_triton()
        return "triton" if use_triton else "portable"
    if impl == "triton" and limit is not None:
        raise NotImplementedError(
            f"{call}: impl='triton' does not support {limit}; use impl='portable'"
        )
    if impl == "triton" and not has_triton():
        raise ImportError(f"{call}: impl='triton' needs triton, which is not installed")
    return cast(Implementation, impl)


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
