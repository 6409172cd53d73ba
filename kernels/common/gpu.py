"""What the launches of the fused kernels share: whom they serve, and what they hand over."""

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor


def check_device(x: Tensor, kernel: object) -> None:
    """Raises `ValueError` for a tensor that no GPU holds, unless Triton interprets the kernel."""
    if not x.is_cuda and isinstance(kernel, triton.JITFunction):
        raise ValueError(
            f"impl='triton' runs on a GPU and the tensors are on {x.device}; use 'portable' "
            "(TRITON_INTERPRET=1 lets tests run the kernels here)"
        )


def takes_descriptors(*tensors: Tensor) -> bool:
    """Whether bulk copies can read these tensors: dense rows, everything on 16 bytes."""
    return all(
        x.numel() > 0
        and x.stride(-1) == 1
        and x.data_ptr() % 16 == 0
        and all(
            stride * x.element_size() % 16 == 0 and (stride > 0 or size == 1)
            for stride, size in zip(x.stride()[:-1], x.shape[:-1], strict=True)
        )
        for x in tensors
    )


def precision(x: Tensor) -> str:
    """How products of this tensor are taken (`scores.product`): float32 as float32, never TF32."""
    if x.dtype == torch.float32:
        return "ieee"
    return "widened" if x.dtype == torch.bfloat16 and not x.is_cuda else "tf32"


def dense(tensor: Tensor | None, beside: Tensor, dtype: torch.dtype) -> Tensor | None:
    """A tensor that the kernel reads without strides, on the device of `beside`."""
    return None if tensor is None else tensor.to(beside.device, dtype).contiguous()


def folded(scale: float, softcap: float | None, slopes: Tensor | None) -> tuple[bool, float]:
    """Whether scores are scaled before anything else, and the factor of the exponential in base 2.

    Only an ordinary positive scale can be folded into it; what bends the scores comes first.
    """
    scaled = softcap is not None or slopes is not None or not 1e-6 <= scale <= 1e4
    return scaled, math.log2(math.e) * (1.0 if scaled else scale)
