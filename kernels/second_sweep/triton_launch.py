"""The second sweep by the Triton kernels: every sum is a sum over tiles of some shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor

from attentropy.kernels.attention.portable import Score
from attentropy.kernels.common import gpu as launch
from attentropy.kernels.common import tiles
from attentropy.kernels.common.gpu import dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.second_sweep.triton_kernel import chosen_weights, tile_sums


def tile_mass(
    q: Tensor, k: Tensor, lse: Tensor, tile: tuple[int, int], values: str, mean: bool, score: Score,
    mask: Mask,
) -> Tensor:  # fmt: skip
    """Σ of the values in each tile / its number of queries, [B, Hq or 1, Nq / tile, Nk / tile]."""
    whole = min(tile[0], max(1, mask.queries)), min(tile[1], max(1, mask.keys))
    return _tile_sums(
        q, k, lse, whole, score, mask, _segments(mask), values=values, mean=mean, per_query=True
    )  # fmt: skip


def received(q: Tensor, k: Tensor, lse: Tensor, mean: bool, score: Score, mask: Mask) -> Tensor:
    """Σ_i p_ij of each key, [B, Hq or 1, Nk]: tiles of one key and all queries."""
    tile = (max(1, mask.queries), 1)
    return _tile_sums(q, k, lse, tile, score, mask, _segments(mask), mean=mean).sum(2)


def recent(q: Tensor, k: Tensor, lse: Tensor, last: int, score: Score, mask: Mask) -> Tensor:
    """Σ p_ij over the last `last` keys that each query sees, [B, Hq, Nq]: tiles of one query."""
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
    """p_ij, or −p ln p, of a rectangle, [B, Hq, rows, cols]: tiles of one weight."""
    across, down = slice(*cols), slice(*rows)
    starts, segments = mask.key_starts, _segments(mask)
    if cols[0]:  # padding and chunks count from the first key, which may lie before the rectangle
        starts = mask.starts(q.device).expand(q.shape[0]) - cols[0]
    if segments is not None:
        segments = segments[0][:, down], segments[1][:, across]
    inner = replace(
        mask, queries=rows[1] - rows[0], keys=cols[1] - cols[0], key_starts=starts,
        query_offset=mask.query_offset + rows[0] - cols[0],
    )  # fmt: skip
    return _tile_sums(
        q[:, :, down], k[:, :, across], lse[:, :, down], (1, 1), score, inner, segments,
        values=values,
    )  # fmt: skip


def at(q: Tensor, k: Tensor, lse: Tensor, keys: Tensor, score: Score, mask: Mask) -> Tensor:
    """p_ij of one key j per query, `keys` [B, Nq], 0 where it is not seen: [B, Hq, Nq]."""
    launch.check_device(q, tile_sums)
    batch, heads, queries, dim = q.shape
    out = torch.empty(batch, heads, queries, dtype=torch.float32, device=q.device)
    if out.numel() == 0 or k.numel() == 0:
        return out.zero_()
    chosen = torch.where(mask.visible_pairs(keys), keys, -1)
    block = 32
    with torch.cuda.device_of(q):
        chosen_weights[(triton.cdiv(queries, block), heads, batch)](
            q, k, dense(lse, q, torch.float32), dense(chosen, q, torch.int32),
            dense(score.slopes, q, torch.float32), out, *q.stride(), *k.stride(), queries,
            mask.query_offset, heads // k.shape[1], score.scale, score.softcap or 0.0, D=dim,
            BM=block, BD=tiles.padded(dim), SOFTCAP=score.softcap is not None, num_warps=4,
        )  # fmt: skip
    return out


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
    """Sums of the weights over tiles, [B, Hq or 1, ⌈Nq / tile⌉, ⌈Nk / tile⌉].

    segments: those of the queries [B, Nq] and of the keys [B, Nk]; firsts [B or 1, Nq]: the first
    key that counts. Where there are few blocks, programs share the heads of a mean: their parts are
    a fixed number of blocks at most, and are added in a fixed order.
    """
    launch.check_device(q, tile_sums)
    batch, heads, queries, dim = q.shape
    keys = k.shape[2]
    shape = (triton.cdiv(queries, tile[0]), triton.cdiv(keys, tile[1]))
    if min(q.numel(), k.numel()) == 0:
        return torch.zeros(batch, 1 if mean else heads, *shape, device=q.device)
    block = tiles.choose_sweep(tiles.of_device(q.device), tiles.padded(dim), q.dtype)
    plan = Plan.of(tile, shape, block, batch, heads, mean, _wanted(q.device))
    out = torch.empty(batch, plan.parts, *shape, dtype=torch.float32, device=q.device)
    factor = (1 / heads if mean else 1.0) * (math.log(2) if values == "entropy" else 1.0)
    far = queries + keys + abs(mask.query_offset)  # a window this wide hides nothing more
    scaled, exponent = launch.folded(score.scale, score.softcap, score.slopes)
    of_queries, of_keys = segments or (None, None)
    if firsts is not None:
        firsts = firsts.expand(batch, queries)
    with torch.cuda.device_of(q):
        tile_sums[(plan.programs, plan.parts, batch)](
            q, k, dense(lse, q, torch.float32), out, dense(mask.key_starts, q, torch.int32),
            dense(mask.key_lengths, q, torch.int32), dense(of_queries, q, torch.int32),
            dense(of_keys, q, torch.int32), dense(firsts, q, torch.int32),
            dense(score.slopes, q, torch.float32), *q.stride(), *k.stride(), queries, keys,
            mask.query_offset, heads, heads // k.shape[1], plan.share, *tile,
            min(mask.window or 0, far), mask.chunk or 1, score.scale, score.softcap or 0.0,
            exponent, factor,
            D=dim, BM=block.queries, BN=block.keys, BD=tiles.padded(dim), PM=plan.rows,
            PN=plan.columns, RUN=plan.run, PARTIAL=tile[0] % plan.rows != 0,
            SHORT=plan.short(queries, tile[0], block), PER_QUERY=per_query,
            ENTROPY=values == "entropy", CAUSAL=mask.causal, WINDOW=mask.window is not None,
            CHUNK=mask.chunk is not None, SCALED=scaled, SOFTCAP=score.softcap is not None,
            PRECISION=launch.precision(q), **block.options,
        )  # fmt: skip
    return out if plan.parts == 1 or not mean else out.sum(1, keepdim=True)


@dataclass(frozen=True)
class Plan:
    """How tiles are laid into blocks, and blocks shared among programs."""

    rows: int  # of a block that one tile takes, a power of two: its queries, or all
    columns: int  # likewise its keys
    run: int  # rows of tiles that one program sums while it holds its keys
    share: int  # heads that it sums
    parts: int  # programs that share the heads of the same tiles, or one a head
    programs: int  # for each part and batch

    @staticmethod
    def of(
        tile: tuple[int, int], shape: tuple[int, int], block: tiles.Tile, batch: int, heads: int,
        mean: bool, wanted: int,
    ) -> Plan:  # fmt: skip
        """The plan for [Nq / tile, Nk / tile] = `shape` tiles that keeps `wanted` programs busy."""
        rows = min(block.queries, triton.next_power_of_2(tile[0]))
        columns = min(block.keys, triton.next_power_of_2(tile[1]))
        groups = triton.cdiv(shape[0], block.queries // rows)
        across = triton.cdiv(shape[1], block.keys // columns)
        # Partial sums stay in registers (the kernel adds up columns eight apart), half as many as a
        # block has scores if there is a run at all. Sixteen blocks make up for the start of one.
        pieces = triton.cdiv(tile[0], block.queries)
        run = min(max(1, rows // 16), triton.next_power_of_2(groups))
        while run > 1 and (
            run * pieces > 16 or across * triton.cdiv(groups, run) * batch * heads < wanted
        ):
            run //= 2
        programs = across * triton.cdiv(groups, run)
        parts = heads
        if mean:
            parts = max(1, min(heads, wanted // (programs * batch)))
        share = triton.cdiv(heads, parts)
        return Plan(rows, columns, run, share, triton.cdiv(heads, share), programs)

    def short(self, queries: int, tile: int, block: tiles.Tile) -> bool:
        """Whether the queries end within a block."""
        if tile < block.queries:
            return queries % (block.queries // self.rows * tile) != 0
        return queries % tile % block.queries != 0


def _wanted(device: torch.device) -> int:
    """Programs that keep a device busy: a few for each of its processors."""
    if device.type != "cuda":
        return 8
    return 4 * torch.cuda.get_device_properties(device).multi_processor_count


def _segments(mask: Mask) -> tuple[Tensor, Tensor] | None:
    """The segments of the queries [B, Nq] and of the keys [B, Nk]."""
    if mask.segments is None:
        return None
    position = torch.arange(mask.queries, device=mask.segments.device) + mask.query_offset
    return mask.segments[:, position.clamp(0, mask.keys - 1)], mask.segments
