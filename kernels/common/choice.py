"""Who computes an operation: the implementation that is named, or the best that is here."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, cast

import torch
from torch import Tensor

Implementation = Literal["triton", "portable", "reference"]

IMPLEMENTATIONS = ("triton", "portable", "reference")


def choose(where: object, impl: str | None, tensor: Tensor, lacks: str | None) -> Implementation:
    """`impl`, or for None triton on a GPU unless it `lacks` something, else portable.

    Raises `NotImplementedError` where triton is named and lacks something.
    """
    if impl is None:
        here = tensor.is_cuda and lacks is None and _has_triton()
        return "triton" if here else "portable"
    if impl == "triton" and lacks is not None:
        raise NotImplementedError(f"{where}: impl='triton' lacks {lacks}; use 'portable'")
    return cast(Implementation, impl)


def attention_lacks(q: Tensor, other: Tensor) -> str | None:
    """What the triton kernels do not compute for these queries and keys or values, in words."""
    if max(q.shape[-1], other.shape[-1]) > 256:
        return "head sizes over 256"
    if q.dtype == torch.float64:
        return "float64"
    return None


def vocabulary_lacks(
    hidden: Tensor, unembedding: Tensor, final: Tensor | None, top_k: int
) -> str | None:
    """Likewise for the vocabulary's kernel."""
    if top_k > 32:
        return "a top_k over 32"
    if hidden.dtype == torch.float64:
        return "float64"
    if any(t is not None and t.dtype != hidden.dtype for t in (unembedding, final)):
        return "tensors of different types"
    return None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None
