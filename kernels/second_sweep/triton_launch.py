"""Launches of the second sweep's Triton kernels: every sum is a sum over tiles of some shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor

from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.gpu import make_dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.second_sweep.triton_distance_kernel import distance_sums
from attentropy.kernels.second_sweep.triton_kernel import single_weights, tile_sums


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Return the sum of a tile's values over its number of queries, [B, Hq or 1, Tq, Tk]."""
    tile = min(tile[0], max(1, mask.queries)), min(tile[1], max(1, mask.keys))
    return _tile_sums(
        q, k, lse, tile, score, mask, _segments(mask), values=values, mean=mean, per_query=True
    )


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Return Σ_i p_ij of each key, [B, Hq or 1, Nk]: tiles of one key and all queries."""
    sums = _received_on_hopper(q, k, lse, score, mask)
    if sums is not None:
        return sums.mean(1, keepdim=True) if mean else sums
    tile = (max(1, mask.queries), 1)
    return _tile_sums(q, k, lse, tile, score, mask, _segments(mask), mean=mean).sum(2)


def _received_on_hopper(
    q: Tensor, k: Tensor, lse: Tensor, score: Score, mask: Mask
) -> Tensor | None:
    """Return the sums of each head, where Hopper's own kernel is taken."""
    tile = tiles.choose_hopper_sums(tiles.architecture_of(q.device), q.shape[-1], q.dtype)
    is_scaled, factor = gpu.fold_scale(score)
    if tile is None or is_scaled:
        return None
    from attentropy.kernels.second_sweep import hopper_launch

    if not hopper_launch.supports(q, k, mask):
        return None
    return hopper_launch.received(q, k, lse, mask, factor, tile)


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Return Σ p_ij over the last `last` visible keys, [B, Hq, Nq]: tiles of one query."""
    firsts = mask.latest(last, q.device)
    tile = (1, max(1, mask.keys))
    return _tile_sums(q, k, lse, tile, score, mask, _segments(mask), firsts=firsts).sum(3)


def window(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    rows: tuple[int, int],
    cols: tuple[int, int],
    *,
    values: str,
    score: Score,
    mask: Mask,
) -> Tensor:
    """Return p_ij, or −p ln p, of a rectangle, [B, Hq, rows, cols]: tiles of one weight."""
    row_slice, col_slice = slice(*rows), slice(*cols)
    starts, segments = mask.key_starts, _segments(mask)
    if cols[0]:  # padding and chunks count from the first key, which may lie before the rectangle
        starts = mask.starts(q.device).expand(q.shape[0]) - cols[0]
    if segments is not None:
        segments = segments[0][:, row_slice], segments[1][:, col_slice]
    inner = replace(
        mask, queries=rows[1] - rows[0], keys=cols[1] - cols[0], key_starts=starts,
        query_offset=mask.query_offset + rows[0] - cols[0],
    )  # fmt: skip
    return _tile_sums(
        q[:, :, row_slice], k[:, :, col_slice], lse[:, :, row_slice], (1, 1), score, inner,
        segments, values=values,
    )  # fmt: skip


def at(q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask) -> Tensor:
    """Return p_ij of one key j per query, `keys` [B, Nq], 0 where invisible, [B, Hq, Nq]."""
    gpu.check_device(q, tile_sums)
    batch, heads, queries, dim = q.shape
    out = torch.empty(batch, heads, queries, dtype=torch.float32, device=q.device)
    if out.numel() == 0 or k.numel() == 0:
        return out.zero_()
    visible_keys = torch.where(mask.visible_pairs(keys), keys, -1)
    block = 32
    with torch.cuda.device_of(q):
        single_weights[(triton.cdiv(queries, block), heads, batch)](
            q, k, make_dense(lse, q, torch.float32), make_dense(visible_keys, q, torch.int32),
            make_dense(score.slopes, q, torch.float32), out, *q.stride(), *k.stride(), queries,
            mask.query_offset, heads // k.shape[1], score.scale, score.softcap or 0.0, D=dim,
            BM=block, BD=tiles.padded_size(dim), SOFTCAP=score.softcap is not None, num_warps=4,
        )  # fmt: skip
    return out


def by_distance(
    q: Tensor, k: Tensor, lse: Tensor, first_keys: int, score: Score, mask: Mask
) -> Tensor:
    """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins]."""
    gpu.check_device(q, distance_sums)
    batch, heads, queries, dim = q.shape
    columns = 1 + mask.distance_bins
    if min(q.numel(), k.numel()) == 0:
        return torch.zeros(batch, heads, columns, device=q.device)
    padded_dim = tiles.padded_size(dim)
    block = tiles.choose_distance(tiles.architecture_of(q.device), padded_dim, q.dtype)
    padded_columns = triton.next_power_of_2(columns)
    programs = triton.cdiv(queries, block.queries)
    out = torch.empty(batch, heads, programs, padded_columns, dtype=torch.float32, device=q.device)
    far = queries + k.shape[2] + abs(mask.query_offset)  # a window this wide hides nothing more
    first_keys = min(first_keys, 2**30)  # int32; not by keys: a sequence may start before key 0
    is_scaled, exponent = gpu.fold_scale(score)
    of_queries, of_keys = _segments(mask) or (None, None)
    with torch.cuda.device_of(q):
        distance_sums[(programs, heads, batch)](
            q, k, make_dense(lse, q, torch.float32), out,
            *(make_dense(x, q, torch.int32) for x in (
                mask.key_starts, mask.key_lengths, of_queries, of_keys,
            )),
            make_dense(score.slopes, q, torch.float32), *q.stride(), *k.stride(), queries,
            k.shape[2], mask.query_offset, heads // k.shape[1], first_keys,
            min(mask.window or 0, far), mask.chunk or 1, score.scale, score.softcap or 0.0,
            exponent,
            D=dim, BM=block.queries, BN=block.keys, BD=padded_dim, BINS=padded_columns,
            CAUSAL=mask.causal, WINDOW=mask.window is not None, CHUNK=mask.chunk is not None,
            SCALED=is_scaled, SOFTCAP=score.softcap is not None,
            PRECISION=gpu.product_precision(q), **block.options,
        )  # fmt: skip
    return out.sum(2, dtype=torch.float64)[..., :columns].float()


def _tile_sums(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    tile: tuple[int, int],
    score: Score,
    mask: Mask,
    segments: tuple[Tensor, Tensor] | None,
    *,
    firsts: Tensor | None = None,
    values: str = "weight",
    mean: bool = False,
    per_query: bool = False,
) -> Tensor:
    """Return the sums of the weights over tiles, [B, Hq or 1, ⌈Nq / tile⌉, ⌈Nk / tile⌉].

    segments: those of the queries [B, Nq] and of the keys [B, Nk]; firsts [B or 1, Nq]: the first
    key that counts. Where there are few blocks, several programs share the heads of a mean, and
    their partial sums are added in a fixed order.
    """
    gpu.check_device(q, tile_sums)
    batch, heads, queries, dim = q.shape
    keys = k.shape[2]
    shape = (triton.cdiv(queries, tile[0]), triton.cdiv(keys, tile[1]))
    if min(q.numel(), k.numel()) == 0:
        return torch.zeros(batch, 1 if mean else heads, *shape, device=q.device)
    padded_dim = tiles.padded_size(dim)
    block = tiles.choose_sweep(tiles.architecture_of(q.device), padded_dim, q.dtype)
    plan = Plan.of(tile, shape, block, batch, heads, mean, _busy_programs(q.device))
    out = torch.empty(batch, plan.parts, *shape, dtype=torch.float32, device=q.device)
    factor = (1 / heads if mean else 1.0) * (math.log(2) if values == "entropy" else 1.0)
    far = queries + keys + abs(mask.query_offset)  # a window this wide hides nothing more
    is_scaled, exponent = gpu.fold_scale(score)
    of_queries, of_keys = segments or (None, None)
    if firsts is not None:
        firsts = firsts.expand(batch, queries)
    with torch.cuda.device_of(q):
        tile_sums[(plan.programs, plan.parts, batch)](
            q, k, make_dense(lse, q, torch.float32), out,
            *(make_dense(x, q, torch.int32) for x in (
                mask.key_starts, mask.key_lengths, of_queries, of_keys, firsts,
            )),
            make_dense(score.slopes, q, torch.float32), *q.stride(), *k.stride(), queries, keys,
            mask.query_offset, heads, heads // k.shape[1], plan.share, *tile,
            min(mask.window or 0, far), mask.chunk or 1, score.scale, score.softcap or 0.0,
            exponent, factor,
            D=dim, BM=block.queries, BN=block.keys, BD=padded_dim, PM=plan.rows,
            PN=plan.columns, RUN=plan.run, PARTIAL=tile[0] % plan.rows != 0,
            SHORT=plan.ends_within_block(queries, tile[0], block), PER_QUERY=per_query,
            ENTROPY=values == "entropy", CAUSAL=mask.causal, WINDOW=mask.window is not None,
            CHUNK=mask.chunk is not None, SCALED=is_scaled, SOFTCAP=score.softcap is not None,
            PRECISION=gpu.product_precision(q), **block.options,
        )  # fmt: skip
    return out if plan.parts == 1 or not mean else out.sum(1, keepdim=True)


@dataclass(frozen=True)
class Plan:
    """How tiles are laid into blocks, and how programs share the blocks."""

    rows: int  # of a block that one tile takes, a power of two: its queries, or all
    columns: int  # of a block that one tile takes: its keys, or all
    run: int  # rows of tiles that one program sums while its keys stay in registers
    share: int  # heads that one program sums
    parts: int  # programs that share the heads of the same tiles, or one per head
    programs: int  # per part and batch

    @staticmethod
    def of(
        tile: tuple[int, int], shape: tuple[int, int], block: tiles.Tile, batch: int, heads: int,
        mean: bool, busy: int,
    ) -> Plan:  # fmt: skip
        """Return the plan for [Nq / tile, Nk / tile] = `shape` tiles and at least `busy` programs.

        Where the shape allows, so many programs run that they keep the device busy.
        """
        rows = min(block.queries, triton.next_power_of_2(tile[0]))
        columns = min(block.keys, triton.next_power_of_2(tile[1]))
        groups = triton.cdiv(shape[0], block.queries // rows)
        across = triton.cdiv(shape[1], block.keys // columns)
        # Partial sums stay in registers (the kernel adds columns eight apart), at most half as many
        # as a block has scores where a run has several rows. Sixteen blocks make up for one start.
        pieces = triton.cdiv(tile[0], block.queries)
        run = min(max(1, rows // 16), triton.next_power_of_2(groups))
        while run > 1 and (
            run * pieces > 16 or across * triton.cdiv(groups, run) * batch * heads < busy
        ):
            run //= 2
        programs = across * triton.cdiv(groups, run)
        parts = heads
        if mean:
            parts = max(1, min(heads, busy // (programs * batch)))
        share = triton.cdiv(heads, parts)
        return Plan(rows, columns, run, share, triton.cdiv(heads, share), programs)

    def ends_within_block(self, queries: int, tile: int, block: tiles.Tile) -> bool:
        """Return whether the last query is not the last of its block."""
        if tile < block.queries:
            return queries % (block.queries // self.rows * tile) != 0
        return queries % tile % block.queries != 0


def _busy_programs(device: torch.device) -> int:
    """Return how many programs keep a device busy: a few for each multiprocessor."""
    if device.type != "cuda":
        return 8
    return 4 * torch.cuda.get_device_properties(device).multi_processor_count


def _segments(mask: Mask) -> tuple[Tensor, Tensor] | None:
    """Return the segments of the queries [B, Nq] and of the keys [B, Nk]."""
    if mask.segments is None:
        return None
    position = torch.arange(mask.queries, device=mask.segments.device) + mask.query_offset
    segments = gpu.rank_segments(mask.segments)
    return segments[:, position.clamp(0, mask.keys - 1)], segments
