"""Which calls the kernel for Hopper serves, and its launch: plain causal or full attention."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from attentropy.kernels.attention import hopper_kernel as hopper
from attentropy.kernels.common import gpu as launch
from attentropy.kernels.common import tiles
from attentropy.kernels.common.mask import Mask

_STATISTICS = frozenset({"entropy", "max_prob"})  # beside output and lse


def serves(q: Tensor, k: Tensor, v: Tensor, mask: Mask, stats: tuple[str, ...]) -> bool:
    """Whether nothing but causal order hides keys, and bulk copies can read heads of one size."""
    return (
        mask.is_plain
        and (not mask.causal or mask.query_offset >= 0)
        and _STATISTICS.issuperset(stats)
        and len({(x.shape[-1], x.dtype) for x in (q, k, v)}) == 1
        and launch.takes_descriptors(q, k, v)
    )


def forward(
    q: Tensor, k: Tensor, v: Tensor, found: dict[str, Tensor], mask: Mask, factor: float,
    tile: tiles.Specialized,
) -> None:  # fmt: skip
    """Fill `found`: out [B, Hq, Nq, D], lse and, where there, entropy and max_prob [B, Hq, Nq].

    factor: scale · log2 e > 0. For tensors that `serves` takes, and the block of their size.
    """
    batch, heads, queries, dim = q.shape
    rows = hopper.ROWS.value
    with torch.cuda.device_of(q):
        hopper.forward[(triton.cdiv(queries, rows * tile.groups), heads, batch)](
            _described(q, rows), _described(k, tile.keys), _described(v, tile.keys),
            found["out"], found["lse"], found.get("entropy"), found.get("max_prob"),
            heads, queries, k.shape[2], mask.query_offset if mask.causal else 0,
            heads // k.shape[1], factor, GROUPS=tile.groups, D=dim, BN=tile.keys,
            STAGES=tile.stages, REGISTERS=tile.registers, CAUSAL=mask.causal, num_warps=4,
        )  # fmt: skip


def _described(x: Tensor, rows: int) -> TensorDescriptor:
    """Blocks of `rows` entries of a head, as the bulk copies take them."""
    dim = x.shape[-1]
    layout = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    return TensorDescriptor(x, list(x.shape), list(x.stride()), [1, 1, rows, dim], layout)
