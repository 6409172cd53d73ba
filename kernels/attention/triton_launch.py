"""Launch of the Triton attention kernel, and the split over keys where queries are few."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from attentropy.kernels.attention.merge import merge, part_names
from attentropy.kernels.attention.triton_kernel import forward
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.gpu import make_dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import STATISTICS, is_integer

# The statistics that the kernel stores, in the order of its parameters.
_COLUMNS = tuple(name for name in forward.arg_names if name in STATISTICS)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    score: Score,
    mask: Mask,
    sinks: Tensor | None,
    stats: tuple[str, ...],
    splits: int | None = None,
) -> dict[str, Tensor]:
    """Return output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq] float32, on the device of q.

    splits: into how many runs the keys are cut, whose results are merged exactly; None lets the
    shape decide. Raises `ValueError` for tensors that are not on a GPU, unless Triton interprets.
    """
    gpu.check_device(q, forward)
    batch, heads, queries, _ = q.shape
    plan = _LaunchPlan.of(q, k, v, stats)
    if splits is None:
        splits = _count_splits(q.device, plan.blocks * plan.columns * batch, k.shape[2], plan.tile)
    names = part_names(stats) if splits > 1 else stats
    shape = (splits, batch, heads, queries)
    dtype = torch.float32 if splits > 1 else v.dtype
    buffers = {"out": torch.empty(*shape, v.shape[-1], dtype=dtype, device=q.device)}
    for name in ("lse", *names):
        dtype = torch.int32 if is_integer(name) else torch.float32
        buffers[name] = torch.empty(shape, dtype=dtype, device=q.device)
    if buffers["lse"].numel():
        is_scaled, factor = gpu.fold_scale(score)
        is_plain = splits == 1 and not plan.packed and not is_scaled
        if not (is_plain and _launch_hopper(q, k, v, buffers, mask, sinks, stats, factor)):
            inner = None if splits > 1 else sinks
            _launch(q, k, v, buffers, score, inner, mask, is_scaled, factor, plan, splits)
    if splits == 1:
        return {name: part[0] for name, part in buffers.items()}
    return merge(buffers, sinks, stats)


@dataclass(frozen=True)
class _LaunchPlan:
    """How queries and heads are laid into blocks."""

    tile: tiles.Tile
    packed: bool  # few queries: the heads that share keys fill a block, and keys are read once
    blocks: int  # of queries
    columns: int  # heads, or key heads where packed

    @staticmethod
    def of(q: Tensor, k: Tensor, v: Tensor, stats: tuple[str, ...]) -> _LaunchPlan:
        """Return the plan for the shapes and statistics of a call."""
        heads, queries, kv_heads = q.shape[1], q.shape[2], k.shape[1]
        tile = tiles.choose_attention(
            tiles.architecture_of(q.device),
            tiles.padded_size(max(q.shape[-1], v.shape[-1])),
            q.dtype,
            descriptors=gpu.takes_descriptors(k, v),
            narrow=any(STATISTICS[name].needs_registers for name in stats),
        )
        packed = heads > kv_heads and queries * (heads // kv_heads) <= tile.queries
        blocks = 1 if packed else triton.cdiv(queries, tile.queries)
        return _LaunchPlan(tile, packed, blocks, kv_heads if packed else heads)


def _launch_hopper(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    buffers: dict[str, Tensor],
    mask: Mask,
    sinks: Tensor | None,
    stats: tuple[str, ...],
    factor: float,
) -> bool:
    """Return whether a Hopper kernel took the call; they are imported only where one could."""
    architecture, dim = tiles.architecture_of(q.device), q.shape[-1]
    rows = {name: part[0] for name, part in buffers.items()}
    narrow = any(STATISTICS[name].needs_registers for name in stats)
    if tile := tiles.choose_hopper_lazy(architecture, dim, q.dtype, narrow=narrow):
        from attentropy.kernels.attention import hopper_lazy_launch

        if hopper_lazy_launch.supports(q, k, v, mask):
            hopper_lazy_launch.forward(q, k, v, rows, mask, sinks, factor, tile)
            return True
    if sinks is None and (tile := tiles.choose_hopper(architecture, dim, q.dtype)):
        from attentropy.kernels.attention import hopper_launch

        if hopper_launch.supports(q, k, v, mask, stats):
            hopper_launch.forward(q, k, v, rows, mask, factor, tile)
            return True
    return False


def _count_splits(device: torch.device, programs: int, keys: int, tile: tiles.Tile) -> int:
    """Return the number of runs of keys: more than one where too few programs fill the device."""
    if device.type != "cuda" or programs == 0:
        return 1
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(processors // programs, keys // (8 * tile.keys)))


def _describe(x: Tensor, tile: tiles.Tile) -> Tensor | TensorDescriptor:
    """Return keys or values as the kernel takes them: as a descriptor where the tile says so."""
    if not tile.descriptors:
        return x
    block = [1, 1, tile.keys, tiles.padded_size(x.shape[-1])]
    return TensorDescriptor(x, list(x.shape), list(x.stride()), block)


def _launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    buffers: dict[str, Tensor],
    score: Score,
    sinks: Tensor | None,
    mask: Mask,
    is_scaled: bool,
    factor: float,
    plan: _LaunchPlan,
    splits: int,
) -> None:
    """Fill the buffers by the Triton kernel."""
    batch, heads, queries, dim = q.shape
    keys, width = k.shape[2], v.shape[-1]
    tile = plan.tile
    span = triton.cdiv(triton.cdiv(keys, splits), tile.keys) * tile.keys
    far = queries + keys + abs(mask.query_offset)  # a window this wide hides nothing more
    with torch.cuda.device_of(q):
        forward[(plan.blocks, plan.columns, splits * batch)](
            q, *(_describe(x, tile) for x in (k, v)), buffers["out"], buffers["lse"],
            *(buffers.get(name) for name in _COLUMNS),
            *(make_dense(x, q, torch.int32) for x in (
                mask.key_starts, mask.key_lengths,
                None if mask.segments is None else gpu.rank_segments(mask.segments),
            )),
            *(make_dense(x, q, torch.float32) for x in (score.slopes, sinks)),
            *q.stride(), *k.stride(), *v.stride(), batch, heads, queries, keys, mask.query_offset,
            heads // k.shape[1], min(mask.window or 0, far), mask.chunk or 1, span, score.scale,
            score.softcap or 0.0, factor,
            D=dim, DV=width, BM=tile.queries, BN=tile.keys, BD=tiles.padded_size(dim),
            BE=tiles.padded_size(width), CAUSAL=mask.causal, WINDOW=mask.window is not None,
            CHUNK=mask.chunk is not None, SPLIT=splits > 1, PACKED=plan.packed,
            SCALED=is_scaled, SOFTCAP=score.softcap is not None, DESCRIPTORS=tile.descriptors,
            PRECISION=gpu.product_precision(q), LANES=tile.lanes,
            **tile.options,
        )  # fmt: skip
