"""Launch of `hopper_lazy`, and the calls that it takes: causal or full attention, with padding."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from attentropy.kernels.attention import hopper_lazy, hopper_top_key
from attentropy.kernels.attention.hopper_launch import describe
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.gpu import make_dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.statistics import STATISTICS

# The statistics that the kernel stores, in the order of its parameters.
_COLUMNS = tuple(name for name in hopper_lazy.forward.arg_names if name in STATISTICS)
_ROWS = 32  # of a program that compares the candidates of top keys


def supports(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> bool:
    """Return whether the kernel can compute the call, with or without sinks, and any statistic.

    It can where nothing but causal order and padding hides keys, bulk copies can read q, k and v,
    and their heads have one size and type.
    """
    others = (mask.window, mask.chunk, mask.segments, mask.last_keys)
    return (
        all(rule is None for rule in others)
        and (not mask.causal or mask.query_offset >= 0)
        and len({(x.shape[-1], x.dtype) for x in (q, k, v)}) == 1
        and gpu.takes_descriptors(q, k, v)
    )


def forward(
    q: Tensor, k: Tensor, v: Tensor, buffers: dict[str, Tensor], mask: Mask,
    sinks: Tensor | None, factor: float, tile: tiles.HopperTile,
) -> None:  # fmt: skip
    """Fill the buffers `out` [B, Hq, Nq, D], `lse` and those of statistics [B, Hq, Nq].

    factor: scale · log2 e > 0. The call must be one that `supports` accepts, `tile` the block of
    its head size.
    """
    batch, heads, queries, dim = q.shape
    keys, group = k.shape[2], heads // k.shape[1]
    rows, width = hopper_lazy.ROWS.value, tiles.padded_size(dim)
    padding = [make_dense(x, q, torch.int32) for x in (mask.key_starts, mask.key_lengths)]
    if mask.key_lengths is not None:  # padding may be NaN, and 0 · NaN is NaN
        v = v.masked_fill(mask.padding(v.device), 0.0)
    with torch.cuda.device_of(q):
        hopper_lazy.forward[(triton.cdiv(queries, rows * tile.groups), heads, batch)](
            describe(q, rows, width), describe(k, tile.keys, width),
            describe(v, tile.keys, width), buffers["out"], buffers["lse"],
            *(buffers.get(name) for name in _COLUMNS), *padding,
            make_dense(sinks, q, torch.float32), heads, queries, keys, mask.query_offset, group,
            factor,
            GROUPS=tile.groups, D=width, DIM=dim, BN=tile.keys, STAGES=tile.stages,
            REGISTERS=tile.registers, CAUSAL=mask.causal, num_warps=4,
        )  # fmt: skip
        if "top_key" in buffers:
            hopper_top_key.resolve[(triton.cdiv(queries, _ROWS), heads, batch)](
                q, k, buffers["top_key"], *padding, *q.stride(), *k.stride(), heads, queries,
                keys, mask.query_offset, group, D=dim, BD=width, BM=_ROWS, BN=tile.keys,
                CAUSAL=mask.causal, num_warps=4,
            )  # fmt: skip
