"""The key with the largest weight, from what `hopper_lazy` knows of it: a tile, and lanes of it.

Keys n of one lane, n mod LANES, of one tile are the candidates of a row: 16 where a tile has 128
keys. Scores that tie exactly add lanes. Their scores are computed once more and compared.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.attention.hopper_constants import BITS, LANES


@triton.jit
def resolve(
    q, k, top_key, starts, lengths,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    heads, queries, keys, offset, group,
    D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr,
):  # fmt: skip
    """Replace tile · BITS + lanes by a key for BM queries of one head; a row of −1 keeps it.

    top_key [B, Hq, Nq] dense; starts, lengths [B] or None. Tiles of BN keys count from the first
    key that is not padding. Of equal scores the lowest key wins.
    """
    i_h, i_b = tl.program_id(1), tl.program_id(2)
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    o_d = tl.arange(0, BD)
    m_m, m_d = o_m < queries, o_d < D
    start = 0
    if starts is not None:
        start = tl.load(starts + i_b)
    limit = keys
    if lengths is not None:
        limit = tl.minimum(keys, start + tl.load(lengths + i_b))
    o_end = limit + 0 * o_m
    if CAUSAL:
        o_end = tl.minimum(o_end, offset + o_m + 1)

    p_q = q + i_b.to(tl.int64) * stride_qb + i_h.to(tl.int64) * stride_qh
    p_q += o_m.to(tl.int64)[:, None] * stride_qn + o_d[None, :] * stride_qd
    b_q = tl.load(p_q, mask=m_m[:, None] & m_d[None, :], other=0.0).to(tl.float32)  # [BM, BD]
    p_k = k + i_b.to(tl.int64) * stride_kb + (i_h // group).to(tl.int64) * stride_kh
    p_key = top_key + (i_b.to(tl.int64) * heads + i_h) * queries + o_m
    b_code = tl.load(p_key, mask=m_m, other=-1)
    b_first = tl.maximum(start, 0) + b_code // BITS * BN
    b_lanes = tl.where(b_code >= 0, b_code % BITS, 0)
    b_best = tl.full([BM], float("-inf"), tl.float32)
    b_key = tl.full([BM], -1, tl.int32)
    while tl.max(b_lanes, 0) > 0:  # once, unless scores tie
        b_low = b_lanes & -b_lanes  # the bit of the first lane that is left
        b_lane = tl.zeros([BM], tl.int32)
        for bit in tl.static_range(1, LANES):
            b_lane += tl.where(b_low >= (1 << bit), 1, 0)
        for i in range(BN // LANES):
            o_n = b_first + i * LANES + b_lane  # [BM]
            m_n = (b_lanes > 0) & (o_n < o_end)
            p_n = p_k + o_n.to(tl.int64)[:, None] * stride_kn + o_d[None, :] * stride_kd
            b_k = tl.load(p_n, mask=m_n[:, None] & m_d[None, :], other=0.0).to(tl.float32)
            b_s = tl.sum(b_q * b_k, 1)
            m_best = m_n & ((b_s > b_best) | (b_key < 0) | ((b_s == b_best) & (o_n < b_key)))
            b_best = tl.where(m_best, b_s, b_best)
            b_key = tl.where(m_best, o_n, b_key)
        b_lanes = b_lanes & (b_lanes - 1)
    tl.store(p_key, b_key, mask=m_m)
