"""The second sweep in Triton: exact weights, summed over tiles of queries × keys.

A program keeps a block of keys in registers and streams the queries that see it, so one program
sums each tile in its registers: no atomics. Tiles of any size fill blocks of a fixed size: a side
shorter than the block's is padded to a power of two, a longer one is cut into pieces.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.common.triton_scores import (
    HIDDEN,
    bend,
    chunk_begin,
    product,
    viewers,
    visible,
)

_LOG2E = tl.constexpr(1.4426950408889634)
# Columns of a matrix product that are eight apart lie in the same thread, so their sums do not
# cross threads.
_LANES = tl.constexpr(8)


@triton.jit
def _block_of(query, tile, pieces, BM: tl.constexpr, TILES: tl.constexpr):
    """Return the block of a query; a block is TILES tiles, or one of the `pieces` of a tile."""
    return query // tile // TILES * pieces + query % tile // BM


@triton.jit
def _stream(
    b_sum, b_k, o_n, m_n, first, last, origin, p_q, stride_qn, p_lse, firsts, of_queries, b_other,
    queries, offset, tile, pieces, start, window, chunk, slope, scale, softcap, c, m_d,
    MASKED: tl.constexpr, BOUNDED: tl.constexpr, GAPS: tl.constexpr, CAUSAL: tl.constexpr,
    WINDOW: tl.constexpr, CHUNK: tl.constexpr, SCALED: tl.constexpr, SOFTCAP: tl.constexpr,
    SLOPES: tl.constexpr, ENTROPY: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr,
    PM: tl.constexpr,
):  # fmt: skip
    """Add what the query blocks first … last−1 give the keys o_n [BN] to b_sum [BN, RUN, GM, W].

    b_k [BN, BD]; `origin`: the row of blocks that RUN counts from; GAPS: some slots of a block have
    no query; BOUNDED, which MASKED needs: they may be in these blocks. Such slots, and queries
    that see no key at all, get a weight of 2^HIDDEN = 0; a block that is not MASKED has no query
    without a visible key.
    """
    RUN: tl.constexpr = b_sum.shape[1]
    W: tl.constexpr = b_sum.shape[3]
    GM: tl.constexpr = BM // PM
    BN: tl.constexpr = b_k.shape[0]
    o_slot, o_in = tl.arange(0, BM), tl.arange(0, BM)
    if PM < BM:
        o_in = o_slot % PM
        o_slot = o_slot // PM * tile + o_in
    p_q += o_slot.to(tl.int64)[None, :] * stride_qn  # [BD, BM]
    i_row, i_piece = first // pieces, first % pieces
    for _i_x in range(first, last):
        i_m = i_row * GM * tile + i_piece * BM
        o_m = i_m + o_slot  # [BM]
        p_block = p_q + i_m.to(tl.int64) * stride_qn
        if BOUNDED:
            m_m = (i_piece * BM + o_in < tile) & (o_m < queries)
            b_q = tl.load(p_block, mask=m_d & m_m[None, :], other=0.0)
            b_lse = tl.load(p_lse + i_m + o_slot, mask=m_m, other=float("-inf"))  # [BM]
            b_base = tl.where(b_lse == float("-inf"), HIDDEN, b_lse * -_LOG2E)
        else:
            b_q = tl.load(p_block, mask=m_d, other=0.0)
            b_base = tl.load(p_lse + i_m + o_slot) * -_LOG2E
        b_s = product(b_k, b_q, None, PRECISION)  # [BN, BM]
        o_a = offset + o_m
        if SCALED:
            b_s = tl.trans(bend(tl.trans(b_s), o_a, o_n, scale, softcap, slope, SOFTCAP, SLOPES))
        if MASKED:
            o_c, b_segment = o_a, o_a
            if CHUNK:
                o_c = chunk_begin(o_a, start, chunk)
            if of_queries is not None:
                b_segment = tl.load(of_queries + o_m, mask=m_m, other=0)
            m_s = visible(
                o_a, o_n, m_n, o_c, window, chunk, b_segment, b_other, CAUSAL, WINDOW, CHUNK,
                of_queries is not None,
            )  # fmt: skip
            if GAPS:  # 0 · NaN of a slot without a query is NaN
                m_s = m_s & m_m[:, None]
            if firsts is not None:
                m_s = m_s & (o_n[None, :] >= tl.load(firsts + o_m, mask=m_m, other=0)[:, None])
        b_z = tl.fma(b_s, c, b_base[None, :])
        b_p = tl.exp2(b_z)
        if ENTROPY:
            b_p = b_p * b_z
        if MASKED:  # at the end: NaN of a row is none of a key that it does not see
            b_p = tl.where(tl.trans(m_s), b_p, 0.0)
        b_part = tl.sum(tl.reshape(b_p, [BN, 1, GM, PM // W, W]), 3)  # [BN, 1, GM, W]
        if ENTROPY:
            b_part = -b_part
        if RUN > 1:
            m_row = tl.arange(0, RUN) == i_row - origin
            b_part = tl.where(m_row[None, :, None, None], b_part, 0.0)
        b_sum += b_part
        i_piece += 1
        i_row += tl.where(i_piece == pieces, 1, 0)
        i_piece = tl.where(i_piece == pieces, 0, i_piece)
    return b_sum


@triton.jit
def tile_sums(
    q, k, lse, out, starts, lengths, of_queries, of_keys, firsts, slopes,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    queries, keys, offset, heads, group, share, tile_m, tile_n, window, chunk, scale, softcap, c,
    factor,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, PM: tl.constexpr,
    PN: tl.constexpr, RUN: tl.constexpr, PARTIAL: tl.constexpr, SHORT: tl.constexpr,
    PER_QUERY: tl.constexpr, ENTROPY: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr,
    CHUNK: tl.constexpr, SCALED: tl.constexpr, SOFTCAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum a block of BN keys (or the pieces of a tile), RUN rows of blocks and `share` heads.

    out [B, S, ⌈Nq / tile_m⌉, ⌈Nk / tile_n⌉], S · share ≥ heads: factor · Σ p (−Σ p log2 p where
    ENTROPY) over a tile and the program's heads, divided by the tile's number of queries where
    PER_QUERY. PM, PN: what a tile's sides take of a block; PARTIAL, SHORT: blocks have slots
    without a query because tiles do not fill them, or because the queries end. lse [B, Hq, Nq];
    of_queries [B, Nq], of_keys [B, Nk]: segments; firsts [B, Nq]: the first key that counts;
    starts, lengths [B], slopes [Hq]: all dense, or None. c turns scores into exponents of 2.
    """
    GM: tl.constexpr = BM // PM
    GN: tl.constexpr = BN // PN
    W: tl.constexpr = PM if PM < _LANES else _LANES
    SLOPES: tl.constexpr = slopes is not None
    SEGMENTS: tl.constexpr = of_keys is not None
    GAPS: tl.constexpr = PARTIAL or SHORT
    NEVER_FULL: tl.constexpr = SEGMENTS or (firsts is not None)

    pieces_m, pieces_n = tl.cdiv(tile_m, BM), tl.cdiv(tile_n, BN)
    tiles_m, tiles_n = tl.cdiv(queries, tile_m), tl.cdiv(keys, tile_n)
    rows = tl.cdiv(tiles_m, GM)
    across = tl.cdiv(tiles_n, GN)
    # The first keys have the longest causal columns: start them first.
    i_n, i_run = tl.program_id(0) % across, tl.program_id(0) // across
    i_part, i_b = tl.program_id(1), tl.program_id(2)
    origin = i_run * RUN
    begin, end = origin * pieces_m, tl.minimum(origin + RUN, rows) * pieces_m  # blocks of queries
    start, limit = 0, keys
    if starts is not None:
        start = tl.load(starts + i_b)
    if lengths is not None:
        limit = tl.minimum(keys, start + tl.load(lengths + i_b))
    if SEGMENTS:
        of_queries += i_b.to(tl.int64) * queries
        of_keys += i_b.to(tl.int64) * keys
    if firsts is not None:
        firsts += i_b.to(tl.int64) * queries

    # Pieces of the block that the run's queries can see at all.
    base = i_n * GN * tile_n
    low, high = 0, limit
    a_last = offset + tl.minimum((origin + RUN) * GM * tile_m, queries) - 1
    if CAUSAL:
        high = tl.minimum(high, a_last + 1)
    if WINDOW:
        low = tl.maximum(low, offset + origin * GM * tile_m - window + 1)
        if not CAUSAL:
            high = tl.minimum(high, a_last + window)
    if firsts is not None:
        o_run = origin * GM * tile_m + tl.arange(0, RUN * BM)
        b_first = tl.load(firsts + o_run, mask=o_run < queries, other=2147483647)
        low = tl.maximum(low, tl.min(b_first, 0))
    piece = tl.minimum(tl.maximum(low - base, 0) // BN, pieces_n)
    piece_end = tl.minimum(tl.cdiv(tl.maximum(high - base, 0), BN), pieces_n)

    o_d, o_y = tl.arange(0, BD), tl.arange(0, BN)
    m_d = o_d < D
    b_total = tl.zeros([GN, RUN * GM], tl.float32)
    for i_piece in range(piece, piece_end):
        o_in = i_piece * BN + o_y % PN  # [BN]
        o_n = (i_n * GN + o_y // PN) * tile_n + o_in
        m_n = (o_in < tile_n) & (o_n < limit) & (o_n >= start)
        n_first = tl.maximum(tl.maximum(start, 0), base + i_piece * BN)
        n_last = tl.minimum(limit, base + tl.minimum((i_piece + 1) * BN, GN * tile_n)) - 1
        lo, hi, full_lo, full_hi = viewers(
            n_first, n_last, start, offset, queries, window, chunk, CAUSAL, WINDOW, CHUNK
        )
        none = lo >= hi
        lo = tl.maximum(begin, _block_of(tl.maximum(lo, 0), tile_m, pieces_m, BM, GM))
        hi = tl.minimum(end, _block_of(tl.maximum(hi - 1, 0), tile_m, pieces_m, BM, GM) + 1)
        hi = tl.where(none, lo, tl.maximum(hi, lo))
        before = _block_of(tl.maximum(full_lo - 1, 0), tile_m, pieces_m, BM, GM) + 1
        after = _block_of(tl.maximum(full_hi, 0), tile_m, pieces_m, BM, GM)
        full_lo = tl.minimum(tl.maximum(tl.where(full_lo > 0, before, 0), lo), hi)
        full_hi = tl.maximum(tl.minimum(after, hi), full_lo)
        if NEVER_FULL:
            full_lo, full_hi = hi, hi
        b_other = o_n
        if SEGMENTS:
            b_other = tl.load(of_keys + o_n, mask=m_n, other=0)

        b_sum = tl.zeros([BN, RUN, GM, W], tl.float32)
        for i_own in range(tl.minimum(share, heads - i_part * share)):
            i_h = i_part * share + i_own
            # Addresses in 64 bits: one head's rows alone can pass 2^31 entries.
            p_q = q + i_b.to(tl.int64) * stride_qb + i_h.to(tl.int64) * stride_qh
            p_q += o_d[:, None] * stride_qd  # [BD, 1]
            p_k = k + i_b.to(tl.int64) * stride_kb + (i_h // group).to(tl.int64) * stride_kh
            p_k += o_n.to(tl.int64)[:, None] * stride_kn + o_d[None, :] * stride_kd  # [BN, BD]
            p_lse = lse + (i_b.to(tl.int64) * heads + i_h) * queries
            slope = 0.0
            if SLOPES:
                slope = tl.load(slopes + i_h)
            b_k = tl.load(p_k, mask=m_d[None, :] & (m_n & (lo < hi))[:, None], other=0.0)
            if CAUSAL or WINDOW or CHUNK or NEVER_FULL:
                b_sum = _stream(
                    b_sum, b_k, o_n, m_n, lo, full_lo, origin, p_q, stride_qn, p_lse, firsts,
                    of_queries, b_other, queries, offset, tile_m, pieces_m, start, window, chunk,
                    slope, scale, softcap, c, m_d[:, None], True, True, GAPS, CAUSAL, WINDOW,
                    CHUNK, SCALED, SOFTCAP, SLOPES, ENTROPY, PRECISION, BM, PM,
                )  # fmt: skip
            if not NEVER_FULL:
                b_sum = _stream(
                    b_sum, b_k, o_n, m_n, full_lo, full_hi, origin, p_q, stride_qn, p_lse, firsts,
                    of_queries, b_other, queries, offset, tile_m, pieces_m, start, window, chunk,
                    slope, scale, softcap, c, m_d[:, None], False, PARTIAL, GAPS, CAUSAL, WINDOW,
                    CHUNK, SCALED, SOFTCAP, SLOPES, ENTROPY, PRECISION, BM, PM,
                )  # fmt: skip
            if (WINDOW or CHUNK or SHORT) and not NEVER_FULL:
                b_sum = _stream(
                    b_sum, b_k, o_n, m_n, full_hi, hi, origin, p_q, stride_qn, p_lse, firsts,
                    of_queries, b_other, queries, offset, tile_m, pieces_m, start, window, chunk,
                    slope, scale, softcap, c, m_d[:, None], True, True, GAPS, CAUSAL, WINDOW,
                    CHUNK, SCALED, SOFTCAP, SLOPES, ENTROPY, PRECISION, BM, PM,
                )  # fmt: skip
        # Slots without a key had a score of 0: their sums do not count.
        b_sum = tl.where(m_n[:, None, None, None], b_sum, 0.0)
        b_tile = tl.sum(tl.reshape(b_sum, [GN, PN, RUN * GM, W]), 1)  # [GN, RUN · GM, W]
        b_total += tl.sum(b_tile, 2)

    o_t = origin * GM + tl.arange(0, RUN * GM)
    o_u = i_n * GN + tl.arange(0, GN)
    b_total = b_total * factor
    if PER_QUERY:
        b_count = tl.maximum(tl.minimum(tile_m, queries - o_t * tile_m), 1).to(tl.float32)
        b_total = b_total / b_count[None, :]
    row = (i_b.to(tl.int64) * tl.num_programs(1) + i_part) * tiles_m
    p_out = out + (row + o_t)[None, :] * tiles_n + o_u[:, None]
    tl.store(p_out, b_total, mask=(o_t < tiles_m)[None, :] & (o_u < tiles_n)[:, None])


@triton.jit
def single_weights(
    q, k, lse, keys, slopes, out,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    queries, offset, group, scale, softcap,
    D: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr, SOFTCAP: tl.constexpr,
):  # fmt: skip
    """Compute the weight that each of BM queries of one head puts on its own key.

    keys [B, Nq]: the key, or −1 where the query does not see it, for weight 0. out, lse
    [B, Hq, Nq]; all are dense except q and k.
    """
    i_h, i_b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    o_d = tl.arange(0, BD)
    m_m = o_m < queries
    b_j = tl.load(keys + i_b * queries + o_m, mask=m_m, other=-1)
    m_s = b_j >= 0
    m_qk = m_s[:, None] & (o_d < D)[None, :]
    p_q = q + i_b * stride_qb + i_h.to(tl.int64) * stride_qh
    p_q += o_m.to(tl.int64)[:, None] * stride_qn + o_d[None, :] * stride_qd  # [BM, BD]
    p_k = k + i_b * stride_kb + (i_h // group).to(tl.int64) * stride_kh
    p_k += b_j.to(tl.int64)[:, None] * stride_kn + o_d[None, :] * stride_kd  # [BM, BD]
    b_q = tl.load(p_q, mask=m_qk, other=0.0).to(tl.float32)
    b_k = tl.load(p_k, mask=m_qk, other=0.0).to(tl.float32)
    slope = 0.0
    if slopes is not None:
        slope = tl.load(slopes + i_h)
    # `bend` takes rows and columns: here one column, at distance a − j from each row.
    b_s = tl.sum(b_q * b_k, 1)[:, None]
    o_gap = offset + o_m - b_j
    b_s = bend(b_s, o_gap, tl.zeros([1], tl.int32), scale, softcap, slope, SOFTCAP,
               slopes is not None)  # fmt: skip
    o_row = (i_b * tl.num_programs(1) + i_h) * queries + o_m
    b_lse = tl.load(lse + o_row, mask=m_s, other=0.0)
    m_s = m_s & (b_lse != float("-inf"))
    b_p = tl.where(m_s, tl.exp2((tl.sum(b_s, 1) - b_lse) * _LOG2E), 0.0)
    tl.store(out + o_row, b_p, mask=m_m)
