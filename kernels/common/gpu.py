"""What the launches of the Triton kernels share: device, operands, precision and scale."""

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor

from attentropy.kernels.common.score import Score


def check_device(x: Tensor, kernel: object) -> None:
    """Raise `ValueError` for a tensor that is not on a GPU, unless Triton interprets the kernel."""
    if not x.is_cuda and isinstance(kernel, triton.JITFunction):
        raise ValueError(
            f"impl='triton' needs a GPU, but the tensors are on {x.device}; use impl='portable' "
            "(TRITON_INTERPRET=1 lets tests run the kernels here)"
        )


def takes_descriptors(*tensors: Tensor) -> bool:
    """Return whether bulk copies can read these tensors: dense rows, all aligned to 16 bytes."""
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


def product_precision(x: Tensor) -> str:
    """Return how products of this tensor are computed (`triton_scores.product`): never in TF32.

    float32 is multiplied as float32; shorter types ignore the setting, except in the interpreter.
    """
    if x.dtype == torch.float32:
        return "ieee"
    return "widened" if x.dtype == torch.bfloat16 and not x.is_cuda else "tf32"


def make_dense(tensor: Tensor | None, like: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Return a tensor that a kernel reads without strides, on the device of `like`."""
    return None if tensor is None else tensor.to(like.device, dtype).contiguous()


def rank_segments(segments: Tensor) -> Tensor:
    """Return the numbers of segments [B, Nk] as int32, distinct where they were.

    Numbers of more bits are replaced by their ranks, without a wait for the device.
    """
    if segments.dtype.itemsize < 4 or segments.dtype == torch.int32 or segments.shape[1] == 0:
        return segments.to(torch.int32)
    ordered, order = segments.to(torch.int64).sort(-1)
    ranks = torch.zeros_like(order, dtype=torch.int32)
    ranks[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(-1, dtype=torch.int32)
    return torch.empty_like(ranks).scatter_(-1, order, ranks)


def fold_scale(score: Score) -> tuple[bool, float]:
    """Return whether scores are scaled first, and the factor of the exponential in base 2.

    Only an ordinary positive scale can be folded into that factor; softcap and slopes come after
    the scale and before the exponential.
    """
    is_scaled = not score.is_product or not 1e-6 <= score.scale <= 1e4
    return is_scaled, math.log2(math.e) * (1.0 if is_scaled else score.scale)
