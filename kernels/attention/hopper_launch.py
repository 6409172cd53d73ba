"""Launch of the Hopper kernel, and the calls that it takes: plain causal or full attention."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from attentropy.kernels.attention import hopper_kernel
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.statistics import STATISTICS

# The statistics that the kernel stores, in the order of its parameters.
_COLUMNS = tuple(name for name in hopper_kernel.forward.arg_names if name in STATISTICS)


def supports(q: Tensor, k: Tensor, v: Tensor, mask: Mask, stats: tuple[str, ...]) -> bool:
    """Return whether the kernel can compute the call.

    It can where nothing but causal order hides keys, bulk copies can read q, k and v, their heads
    have one size and type, and no statistic but `on_hopper` ones is requested.
    """
    return (
        mask.is_plain
        and (not mask.causal or mask.query_offset >= 0)
        and all(STATISTICS[name].on_hopper for name in stats)
        and len({(x.shape[-1], x.dtype) for x in (q, k, v)}) == 1
        and gpu.takes_descriptors(q, k, v)
    )


def forward(
    q: Tensor, k: Tensor, v: Tensor, buffers: dict[str, Tensor], mask: Mask, factor: float,
    tile: tiles.HopperTile,
) -> None:  # fmt: skip
    """Fill the buffers `out` [B, Hq, Nq, D], `lse` and those of statistics [B, Hq, Nq].

    factor: scale · log2 e > 0. The call must be one that `supports` accepts, `tile` the block of
    its head size.
    """
    batch, heads, queries, dim = q.shape
    rows = hopper_kernel.ROWS.value
    with torch.cuda.device_of(q):
        hopper_kernel.forward[(triton.cdiv(queries, rows * tile.groups), heads, batch)](
            describe(q, rows, dim), describe(k, tile.keys, dim), describe(v, tile.keys, dim),
            buffers["out"], buffers["lse"], *(buffers.get(name) for name in _COLUMNS),
            heads, queries, k.shape[2], mask.query_offset if mask.causal else 0,
            heads // k.shape[1], factor, GROUPS=tile.groups, D=dim, BN=tile.keys,
            STAGES=tile.stages, REGISTERS=tile.registers, CAUSAL=mask.causal, num_warps=4,
        )  # fmt: skip


def describe(x: Tensor, rows: int, width: int) -> TensorDescriptor:
    """Return the descriptor by which bulk copies read `rows` entries of a head at a time.

    Entries are as wide as `width`, zeros past the head size.
    """
    layout = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    return TensorDescriptor(x, list(x.shape), list(x.stride()), [1, 1, rows, width], layout)
