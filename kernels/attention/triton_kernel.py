"""The attention kernel in Triton: output and each row's statistics in one sweep over the keys.

Tiles that every row of a block sees have a loop without a mask, those at the edges a loop with one.
The machine code has only what the call requests: optional tensors are None, flags are compile-time
constants.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.common.triton_online import (
    lane_sums,
    online_entropy,
    online_lse,
    online_max_logit,
    online_max_prob,
    online_start,
    online_step,
    online_varentropy,
)
from attentropy.kernels.common.triton_scores import HIDDEN, bend, chunk_begin, product, visible

_SINK_KEYS = tl.constexpr(4)
_LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _read(
    x, i_b, i_h, first, stride_b, stride_h, stride_n, stride_d, m_n, m_d,
    DESCRIPTOR: tl.constexpr, MASKED: tl.constexpr, PADDED: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Read BN keys or values of a head from `first` on, [BN, BD]; 0 past tensor and head size.

    MASKED: 0 outside of m_n [BN], too, since padding may be NaN, and 0 · NaN is not 0.
    """
    if DESCRIPTOR:
        b_x = x.load([i_b, i_h, first, 0]).reshape([BN, BD])
        if MASKED and PADDED:
            b_x = tl.where(m_n[:, None], b_x, 0.0)
    else:
        # Addresses in 64 bits: one head's rows alone can pass 2^31 entries.
        o_n, o_d = (first + tl.arange(0, BN)).to(tl.int64), tl.arange(0, BD)
        p_x = x + i_b.to(tl.int64) * stride_b + i_h.to(tl.int64) * stride_h
        p_x += o_n[:, None] * stride_n + o_d[None, :] * stride_d
        if MASKED:
            b_x = tl.load(p_x, mask=m_n[:, None] & m_d[None, :], other=0.0)
        else:
            b_x = tl.load(p_x, mask=m_d[None, :], other=0.0)
    return b_x


@triton.jit
def _tile(
    b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc, b_q, k, v, i_b, i_kv, i_n,
    stride_kb, stride_kh, stride_kn, stride_kd, stride_vb, stride_vh, stride_vn, stride_vd,
    start, limit, o_a, o_c, window, chunk, segments, b_segment, slope, scale, softcap, m_d, m_e, c,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    STARTS: tl.constexpr, PADDED: tl.constexpr, SEGMENTS: tl.constexpr, SCALED: tl.constexpr,
    SOFTCAP: tl.constexpr, SLOPES: tl.constexpr, ENTROPY: tl.constexpr, VARENTROPY: tl.constexpr,
    DISTANCE: tl.constexpr, SINK_MASS: tl.constexpr, TOP_KEY: tl.constexpr,
    DESCRIPTORS: tl.constexpr, PRECISION: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, BE: tl.constexpr,
):  # fmt: skip
    """Add the keys i_n … i_n+BN−1 to the rows.

    o_a [BM]: the rows' positions among the keys, o_c [BM]: where their chunks begin; m_d [BD], m_e
    [BE]: real head entries; start, limit: the keys that are not padding.
    """
    o_n = i_n + tl.arange(0, BN)  # [BN]
    m_n = o_n < limit
    if STARTS:
        m_n = m_n & (o_n >= start)
    b_k = _read(
        k, i_b, i_kv, i_n, stride_kb, stride_kh, stride_kn, stride_kd, m_n, m_d, DESCRIPTORS,
        MASKED, PADDED, BN, BD,
    )  # fmt: skip
    b_s = product(b_q, b_k.T, None, PRECISION)  # [BM, BN]
    if SCALED:
        b_s = bend(b_s, o_a, o_n, scale, softcap, slope, SOFTCAP, SLOPES)
    if MASKED:
        b_other = o_n
        if SEGMENTS:
            b_other = tl.load(segments + o_n, mask=m_n, other=0)  # [BN]
        m_s = visible(
            o_a, o_n, m_n, o_c, window, chunk, b_segment, b_other, CAUSAL, WINDOW, CHUNK, SEGMENTS
        )
        b_s = tl.where(m_s, b_s, HIDDEN)
    b_high = tl.max(b_s, 1)  # [BM]
    if TOP_KEY:  # tiles come out of order: among equal scores the lower key wins
        b_at = tl.min(tl.where(b_s == b_high[:, None], o_n[None, :], 2147483647), 1)
        b_top = tl.where(
            (b_high > b_m) | ((b_high == b_m) & (b_at < b_top)), b_at, b_top
        )  # fmt: skip
    b_m, b_l, b_t, b_u, b_p, b_factor = online_step(
        b_m, b_l, b_t, b_u, b_s, b_high, c, ENTROPY, VARENTROPY
    )
    if DISTANCE:
        b_gap = (o_a[:, None] - o_n[None, :]).to(tl.float32)
        b_far = b_factor[:, None] * b_far + lane_sums(b_p * b_gap, b_far.shape[1])
    if SINK_MASS:
        b_early = b_factor[:, None] * b_early
        if MASKED:  # the first keys lie in these tiles
            m_early = (o_n < start + _SINK_KEYS)[None, :]
            b_early += lane_sums(tl.where(m_early, b_p, 0.0), b_early.shape[1])
    b_v = _read(
        v, i_b, i_kv, i_n, stride_vb, stride_vh, stride_vn, stride_vd, m_n, m_e, DESCRIPTORS,
        MASKED, PADDED, BN, BE,
    )  # fmt: skip
    b_acc = b_acc * b_factor[:, None]
    b_acc = product(b_p.to(b_v.dtype), b_v, b_acc, PRECISION)  # [BM, BE]
    return b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc


@triton.jit
def forward(
    q, k, v, out, lse, entropy, max_prob, max_logit, varentropy, distance, sink_mass, top_key,
    sink_prob, starts, lengths, segments, slopes, sinks,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    batch, heads, queries, keys, offset, group, window, chunk, span, scale, softcap, c,
    D: tl.constexpr, DV: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
    BE: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    SPLIT: tl.constexpr, PACKED: tl.constexpr, SCALED: tl.constexpr, SOFTCAP: tl.constexpr,
    DESCRIPTORS: tl.constexpr, PRECISION: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Compute BM queries of one head over all keys or, where SPLIT, over one run of `span` keys.

    PACKED: the queries of all heads that share keys, head by head. k and v are pointers or, where
    DESCRIPTORS, tensor descriptors of blocks [1, 1, BN, BD or BE].
    out [S, B, Hq, Nq, Dv], statistics [S, B, Hq, Nq], dense, S the number of runs; starts, lengths
    [B], segments [B, Nk], slopes, sinks [Hq]: dense or None. c turns scores into exponents of 2:
    scale · log2 e, or log2 e where SCALED says that the scale is applied earlier.
    """
    ENTROPY: tl.constexpr = (entropy is not None) or (varentropy is not None)
    VARENTROPY: tl.constexpr = varentropy is not None
    DISTANCE: tl.constexpr = distance is not None
    SINK_MASS: tl.constexpr = sink_mass is not None
    TOP_KEY: tl.constexpr = top_key is not None
    STARTS: tl.constexpr = starts is not None
    PADDED: tl.constexpr = STARTS or (lengths is not None)
    SEGMENTS: tl.constexpr = segments is not None
    SLOPES: tl.constexpr = slopes is not None
    # Whether a causal row may not see the first keys, and whether a masked edge lies there.
    HIDES: tl.constexpr = STARTS or WINDOW or CHUNK or SPLIT or SEGMENTS
    LEFT: tl.constexpr = HIDES or SINK_MASS

    # The last rows of a causal sequence take longest: start them first.
    i_m = tl.num_programs(0) - 1 - tl.program_id(0)
    i_b = tl.program_id(2)
    i_part = i_b
    if SPLIT:
        i_b = i_part % batch
    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    if PACKED:
        i_kv = tl.program_id(1)
        i_h = i_kv * group + o_m // queries
        m_m = o_m < group * queries
        o_m = o_m % queries
        a_min, a_max = offset, offset + queries - 1
    else:
        i_h = tl.program_id(1)
        i_kv = i_h // group
        m_m = o_m < queries
        a_min, a_max = offset + i_m * BM, offset + tl.minimum(queries, (i_m + 1) * BM) - 1
    o_d, o_e = tl.arange(0, BD), tl.arange(0, BE)
    o_a = offset + o_m
    m_d, m_e = o_d < D, o_e < DV

    # Some row of the block sees keys lo … hi−1, every row sees keys full_lo … full_hi−1.
    start, limit, lo = 0, keys, 0
    if STARTS:
        start = tl.load(starts + i_b)
        lo = tl.maximum(start, 0)
    if lengths is not None:
        limit = tl.maximum(tl.minimum(keys, start + tl.load(lengths + i_b)), 0)
    hi, full_lo, full_hi = limit, lo, limit
    if CAUSAL:
        hi, full_hi = tl.minimum(hi, a_max + 1), tl.minimum(full_hi, a_min + 1)
    if WINDOW:
        lo = tl.maximum(lo, a_min - window + 1)
        full_lo = tl.maximum(full_lo, a_max - window + 1)
        if not CAUSAL:
            hi, full_hi = tl.minimum(hi, a_max + window), tl.minimum(full_hi, a_min + window)
    o_c = o_a
    if CHUNK:
        o_c = chunk_begin(o_a, start, chunk)
        low, high = chunk_begin(a_min, start, chunk), chunk_begin(a_max, start, chunk)
        lo, full_lo = tl.maximum(lo, low), tl.maximum(full_lo, high)
        hi, full_hi = tl.minimum(hi, high + chunk), tl.minimum(full_hi, low + chunk)
    if SPLIT:
        begin = i_part // batch * span
        lo, full_lo = tl.maximum(lo, begin), tl.maximum(full_lo, begin)
        hi, full_hi = tl.minimum(hi, begin + span), tl.minimum(full_hi, begin + span)
    if SINK_MASS:  # the masked loop looks for the first keys
        full_lo = tl.maximum(full_lo, start + _SINK_KEYS)
    b_segment = o_m
    if SEGMENTS:
        segments += i_b.to(tl.int64) * keys
        o_s = tl.minimum(tl.maximum(o_a, 0), keys - 1)
        b_segment = tl.load(segments + o_s, mask=m_m, other=-1)
        full_hi = tl.minimum(full_hi, 0)
    full_hi = tl.maximum(full_hi, 0) // BN * BN
    at = 0
    if LEFT:
        at = lo // BN * BN
        full_lo = (full_lo + BN - 1) // BN * BN
        any_full = full_hi > full_lo
        full_lo = tl.where(any_full, full_lo, at)
        full_hi = tl.where(any_full, full_hi, at)

    p_q = q + i_b.to(tl.int64) * stride_qb + o_d[None, :] * stride_qd
    if PACKED:
        p_q += i_h.to(tl.int64)[:, None] * stride_qh
    else:
        p_q += i_h.to(tl.int64) * stride_qh
    p_q += o_m.to(tl.int64)[:, None] * stride_qn
    slope = 0.0
    if SLOPES:
        if PACKED:
            slope = tl.load(slopes + i_h, mask=m_m, other=0.0)[:, None]
        else:
            slope = tl.load(slopes + i_h)

    b_q = tl.load(p_q, mask=m_m[:, None] & m_d[None, :], other=0.0)  # [BM, BD]
    b_m, b_l, b_t = online_start(BM, LANES)
    b_u, b_far, b_early = tl.zeros_like(b_l), tl.zeros_like(b_l), tl.zeros_like(b_l)
    b_top = tl.full([BM], -1, tl.int32)
    b_acc = tl.zeros([BM, BE], tl.float32)
    left = 0
    if LEFT:
        left = (full_lo - at) // BN
    for i_t in range(left + tl.cdiv(tl.maximum(hi - full_hi, 0), BN)):
        i_n = full_hi + (i_t - left) * BN
        if LEFT:
            i_n = tl.where(i_t < left, at + i_t * BN, i_n)
        b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc = _tile(
            b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc, b_q, k, v, i_b, i_kv, i_n,
            stride_kb, stride_kh, stride_kn, stride_kd, stride_vb, stride_vh, stride_vn, stride_vd,
            start, limit, o_a, o_c, window, chunk, segments, b_segment, slope, scale, softcap, m_d,
            m_e, c, True, CAUSAL, WINDOW, CHUNK, STARTS, PADDED, SEGMENTS, SCALED, SOFTCAP, SLOPES,
            ENTROPY, VARENTROPY, DISTANCE, SINK_MASS, TOP_KEY, DESCRIPTORS, PRECISION, BN, BD, BE,
        )  # fmt: skip
    for i_n in range(full_lo, full_hi, BN):
        b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc = _tile(
            b_m, b_l, b_t, b_u, b_far, b_early, b_top, b_acc, b_q, k, v, i_b, i_kv, i_n,
            stride_kb, stride_kh, stride_kn, stride_kd, stride_vb, stride_vh, stride_vn, stride_vd,
            start, limit, o_a, o_c, window, chunk, segments, b_segment, slope, scale, softcap, m_d,
            m_e, c, False, CAUSAL, WINDOW, CHUNK, STARTS, PADDED, SEGMENTS, SCALED, SOFTCAP, SLOPES,
            ENTROPY, VARENTROPY, DISTANCE, SINK_MASS, TOP_KEY, DESCRIPTORS, PRECISION, BN, BD, BE,
        )  # fmt: skip

    b_l, b_t, b_u = tl.sum(b_l, 1), tl.sum(b_t, 1), tl.sum(b_u, 1)  # [BM]
    o_row = (i_part.to(tl.int64) * heads + i_h) * queries + o_m
    m_none = b_l == 0  # NaN is another thing than no key
    b_lse = online_lse(b_m, b_l, c)
    b_out = tl.where(m_none[:, None], 0.0, b_acc / b_l[:, None])
    if sinks is not None:
        b_sink = tl.load(sinks + i_h + tl.zeros_like(o_m), mask=m_m, other=0.0)
        b_share = 1 / (1 + tl.exp2((b_lse - b_sink) * _LOG2E))
        b_out = b_out * (1 - b_share)[:, None]
        if sink_prob is not None:
            tl.store(sink_prob + o_row, b_share, mask=m_m)
    p_out = out + o_row[:, None] * DV + o_e[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=m_m[:, None] & m_e[None, :])
    tl.store(lse + o_row, b_lse, mask=m_m)
    if entropy is not None:
        b_h = online_entropy(b_l, b_t)
        if CAUSAL and not HIDES:
            # One visible key: exactly zero, whatever the rounding of l, or NaN.
            b_h = tl.where(tl.minimum(limit, o_a + 1) == 1, b_h - b_h, b_h)
        tl.store(entropy + o_row, b_h, mask=m_m)
    if max_prob is not None:
        tl.store(max_prob + o_row, online_max_prob(b_m, b_l, c), mask=m_m)
    if max_logit is not None:
        tl.store(max_logit + o_row, online_max_logit(b_m, b_l, c), mask=m_m)
    if VARENTROPY:
        tl.store(varentropy + o_row, online_varentropy(b_l, b_t, b_u), mask=m_m)
    if DISTANCE:
        b_far = tl.where(m_none, float("nan"), tl.sum(b_far, 1) / b_l)
        tl.store(distance + o_row, b_far, mask=m_m)
    if SINK_MASS:
        b_early = tl.where(m_none, float("nan"), tl.sum(b_early, 1) / b_l)
        tl.store(sink_mass + o_row, b_early, mask=m_m)
    if TOP_KEY:
        tl.store(top_key + o_row, tl.where(b_l > 0, b_top, -1), mask=m_m)
