"""The weights of a block of queries summed by the distance to the key, in Triton.

A program keeps a block of queries in registers and streams the keys that they see. Most of its
blocks of keys lie in one or two bins, since a bin is as wide as all nearer ones together; each bin
has a sum per query in registers, so there are no atomics.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.common.triton_scores import HIDDEN, bend, chunk_begin, product, visible

_LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _bits(number):
    """Return the number of binary digits of 0 ≤ number < 2^30: the bin of a distance."""
    # The exponent of a float32; a number that would be rounded up loses its last digits first.
    exact = tl.where(number < 65536, number, number & -256)
    exponent = exact.to(tl.float32).to(tl.int32, bitcast=True) >> 23
    return tl.maximum(exponent - 126, 0)


@triton.jit
def _keys(
    b_sum, b_q, b_base, p_k, stride_kn, first, last, o_a, m_m, m_d, o_c, start, limit, first_end,
    a_first, a_last, window, chunk, b_segment, of_keys, slope, scale, softcap, c,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    SEGMENTS: tl.constexpr, SCALED: tl.constexpr, SOFTCAP: tl.constexpr, SLOPES: tl.constexpr,
    PRECISION: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Add the weights on the keys first … last−1, whole blocks of BN, to b_sum [BM, BINS].

    b_q [BM, BD]; b_base [BM]: −lse in base 2; p_k [1, BD]; o_a [BM]: the queries' positions, from
    a_first to a_last; keys before `first_end` have the first column. A block that is not MASKED has
    only keys that all queries see.
    """
    o_bin = tl.arange(0, b_sum.shape[1])
    for i_n in range(first, last, BN):
        o_n = i_n + tl.arange(0, BN)  # [BN]
        p_block = p_k + o_n.to(tl.int64)[:, None] * stride_kn  # [BN, BD]
        if MASKED:
            m_n = (o_n >= start) & (o_n < limit)
            b_k = tl.load(p_block, mask=m_n[:, None] & m_d[None, :], other=0.0)
        else:
            b_k = tl.load(p_block, mask=m_d[None, :], other=0.0)
        b_s = product(b_q, tl.trans(b_k), None, PRECISION)  # [BM, BN]
        if SCALED:
            b_s = bend(b_s, o_a, o_n, scale, softcap, slope, SOFTCAP, SLOPES)
        b_p = tl.exp2(tl.fma(b_s, c, b_base[:, None]))
        if MASKED:
            b_other = o_n
            if SEGMENTS:
                b_other = tl.load(of_keys + o_n, mask=m_n, other=0)
            m_s = visible(
                o_a, o_n, m_n, o_c, window, chunk, b_segment, b_other, CAUSAL, WINDOW, CHUNK,
                SEGMENTS,
            )  # fmt: skip
            b_p = tl.where(m_s & m_m[:, None], b_p, 0.0)
        if i_n < first_end:
            m_first = (o_n < first_end)[None, :]
            b_part = tl.sum(tl.where(m_first, b_p, 0.0), 1)  # [BM]
            b_sum += tl.where(o_bin[None, :] == 0, b_part[:, None], 0.0)
            b_p = tl.where(m_first, 0.0, b_p)
        least, most = a_first - (i_n + BN - 1), a_last - i_n  # of the distances, signed
        nearest = _bits(tl.maximum(tl.maximum(least, -most), 0))
        farthest = _bits(tl.maximum(most, -least))
        if nearest == farthest:
            b_part = tl.sum(b_p, 1)
            b_sum += tl.where(o_bin[None, :] == farthest + 1, b_part[:, None], 0.0)
        else:
            o_gap = tl.abs(o_a[:, None] - o_n[None, :])  # [BM, BN]
            for i_bin in range(nearest, farthest + 1):
                m_bin = (o_gap >= (1 << i_bin) >> 1) & (o_gap < (1 << i_bin))
                b_part = tl.sum(tl.where(m_bin, b_p, 0.0), 1)
                b_sum += tl.where(o_bin[None, :] == i_bin + 1, b_part[:, None], 0.0)
    return b_sum


@triton.jit
def distance_sums(
    q, k, lse, out, starts, lengths, of_queries, of_keys, slopes,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    queries, keys, offset, group, first_keys, window, chunk, scale, softcap, c,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, BINS: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, SCALED: tl.constexpr,
    SOFTCAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum the weights of BM queries of one head by distance, out [B, Hq, ⌈Nq / BM⌉, BINS].

    Column 0 has those on the first `first_keys` keys that are not padding, column 1 + b those of
    bin b. lse [B, Hq, Nq]; of_queries [B, Nq], of_keys [B, Nk]: segments; starts, lengths [B],
    slopes [Hq]: all dense, or None. c turns scores into exponents of 2.
    """
    SLOPES: tl.constexpr = slopes is not None
    SEGMENTS: tl.constexpr = of_keys is not None
    # The last queries have the longest causal rows: start them first.
    i_m = tl.num_programs(0) - 1 - tl.program_id(0)
    i_h, i_b = tl.program_id(1), tl.program_id(2)
    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < queries, o_d < D
    o_a = offset + o_m
    a_first, a_last = offset + i_m * BM, offset + tl.minimum((i_m + 1) * BM, queries) - 1
    start, limit = 0, keys
    if starts is not None:
        start = tl.load(starts + i_b)
    if lengths is not None:
        limit = tl.minimum(keys, start + tl.load(lengths + i_b))

    # Addresses in 64 bits: one head's rows alone can pass 2^31 entries.
    p_q = q + i_b.to(tl.int64) * stride_qb + i_h.to(tl.int64) * stride_qh
    p_q += o_m.to(tl.int64)[:, None] * stride_qn + o_d[None, :] * stride_qd  # [BM, BD]
    p_k = k + i_b.to(tl.int64) * stride_kb + (i_h // group).to(tl.int64) * stride_kh
    p_k += o_d[None, :] * stride_kd  # [1, BD]
    b_q = tl.load(p_q, mask=m_m[:, None] & m_d[None, :], other=0.0)
    o_row = (i_b.to(tl.int64) * tl.num_programs(1) + i_h) * queries
    b_lse = tl.load(lse + o_row + o_m, mask=m_m, other=float("-inf"))
    # A query that sees no key at all has a weight of 2^HIDDEN = 0.
    b_base = tl.where(b_lse == float("-inf"), HIDDEN, b_lse * -_LOG2E)
    slope = 0.0
    if SLOPES:
        slope = tl.load(slopes + i_h)
    b_segment = o_a
    if SEGMENTS:
        b_segment = tl.load(of_queries + i_b.to(tl.int64) * queries + o_m, mask=m_m, other=0)
        of_keys += i_b.to(tl.int64) * keys

    # Keys that some query of the block sees, and those that all of them see.
    low, high = tl.maximum(start, 0), limit
    full_low, full_high = low, high
    o_c = o_a
    if CAUSAL:
        high, full_high = tl.minimum(high, a_last + 1), tl.minimum(full_high, a_first + 1)
    if WINDOW:
        low = tl.maximum(low, a_first - window + 1)
        full_low = tl.maximum(full_low, a_last - window + 1)
        if not CAUSAL:
            high = tl.minimum(high, a_last + window)
            full_high = tl.minimum(full_high, a_first + window)
    if CHUNK:
        o_c = chunk_begin(o_a, start, chunk)
        begin, end = chunk_begin(a_first, start, chunk), chunk_begin(a_last, start, chunk)
        low, high = tl.maximum(low, begin), tl.minimum(high, end + chunk)
        full_low, full_high = tl.maximum(full_low, end), tl.minimum(full_high, begin + chunk)
    first, last = low // BN * BN, tl.maximum(high, low)
    middle = tl.minimum(tl.cdiv(tl.maximum(full_low, low), BN) * BN, tl.cdiv(last, BN) * BN)
    middle_end = tl.maximum(tl.maximum(full_high, 0) // BN * BN, middle)
    if SEGMENTS:
        middle_end = middle
    middle_end = tl.where(a_first + BM - 1 > a_last, middle, middle_end)  # has slots without query

    b_sum = tl.zeros([BM, BINS], tl.float32)
    b_sum = _keys(
        b_sum, b_q, b_base, p_k, stride_kn, first, middle, o_a, m_m, m_d, o_c, start, limit,
        start + first_keys, a_first, a_last, window, chunk, b_segment, of_keys, slope, scale,
        softcap, c, True, CAUSAL, WINDOW, CHUNK, SEGMENTS, SCALED, SOFTCAP, SLOPES, PRECISION, BN,
    )  # fmt: skip
    b_sum = _keys(
        b_sum, b_q, b_base, p_k, stride_kn, middle, middle_end, o_a, m_m, m_d, o_c, start, limit,
        start + first_keys, a_first, a_last, window, chunk, b_segment, of_keys, slope, scale,
        softcap, c, False, CAUSAL, WINDOW, CHUNK, SEGMENTS, SCALED, SOFTCAP, SLOPES, PRECISION, BN,
    )  # fmt: skip
    b_sum = _keys(
        b_sum, b_q, b_base, p_k, stride_kn, middle_end, last, o_a, m_m, m_d, o_c, start, limit,
        start + first_keys, a_first, a_last, window, chunk, b_segment, of_keys, slope, scale,
        softcap, c, True, CAUSAL, WINDOW, CHUNK, SEGMENTS, SCALED, SOFTCAP, SLOPES, PRECISION, BN,
    )  # fmt: skip
    p_out = out + ((i_b * tl.num_programs(1) + i_h).to(tl.int64) * tl.num_programs(0) + i_m) * BINS
    tl.store(p_out + tl.arange(0, BINS), tl.sum(b_sum, 0))
