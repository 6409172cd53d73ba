"""Launch of the second sweep's Hopper kernel, and the calls that it takes."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from attentropy.kernels.attention.hopper_launch import describe
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.gpu import make_dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.second_sweep import hopper_kernel


def supports(q: Tensor, k: Tensor, mask: Mask) -> bool:
    """Return whether the kernel can compute the call: full attention, or causal order alone."""
    return (
        mask.is_plain
        and (not mask.causal or mask.query_offset >= 0)
        and (q.shape[-1], q.dtype) == (k.shape[-1], k.dtype)
        and gpu.takes_descriptors(q, k)
    )


def received(
    q: Tensor, k: Tensor, lse: Tensor, mask: Mask, factor: float, tile: tiles.HopperTile
) -> Tensor:
    """Return Σ_i p_ij of each key, [B, Hq, Nk]; the same in every run.

    factor: scale · log2 e > 0. The call must be one that `supports` accepts.
    """
    batch, heads, queries, dim = q.shape
    keys, groups = k.shape[2], hopper_kernel.GROUPS.value
    out = torch.empty(groups, batch, heads, keys, dtype=torch.float32, device=q.device)
    with torch.cuda.device_of(q):
        hopper_kernel.received[(triton.cdiv(keys, tile.keys), heads, batch)](
            describe(q, hopper_kernel.ROWS.value, dim), describe(k, tile.keys, dim),
            make_dense(lse, q, torch.float32), out, heads, queries, keys, mask.query_offset,
            heads // k.shape[1], factor, D=dim, BN=tile.keys, STAGES=tile.stages,
            REGISTERS=tile.registers, CAUSAL=mask.causal, num_warps=4,
        )  # fmt: skip
    return out.sum(0)
