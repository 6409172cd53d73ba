"""The fused forward pass: attention and each row's entropy in one sweep over the keys."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from attentropy.kernels import tiles
from attentropy.kernels.online import (
    online_entropy,
    online_lse,
    online_max_prob,
    online_start,
    online_step,
)


@triton.jit
def _sweep(
    b_m, b_l, b_t, b_acc, b_q, p_k, p_v, stride_kn, stride_vn, first, last, keys, o_a, m_d, m_e, c,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, ENTROPY: tl.constexpr, PRECISION: tl.constexpr,
    BN: tl.constexpr,
):  # fmt: skip
    """Take the keys first … last−1 into the rows; p_k [BD, BN] and p_v [BN, BE] point at `first`.

    o_a [BM]: the rows' positions among the keys; m_d [BD, 1], m_e [1, BE]: real head entries.
    """
    for i_n in range(first, last, BN):
        o_n = i_n + tl.arange(0, BN)  # [BN]
        if MASKED:
            b_k = tl.load(p_k, mask=m_d & (o_n < keys)[None, :], other=0.0)  # [BD, BN]
        else:
            b_k = tl.load(p_k, mask=m_d, other=0.0)
        b_s = tl.dot(b_q, b_k, input_precision=PRECISION)  # [BM, BN]
        if MASKED:
            m_s = (o_n < keys)[None, :]
            if CAUSAL:
                m_s = m_s & (o_n[None, :] <= o_a[:, None])
            b_s = tl.where(m_s, b_s, float("-inf"))
        b_m, b_l, b_t, b_p, b_factor = online_step(b_m, b_l, b_t, b_s, c, MASKED, ENTROPY)
        if MASKED:
            b_v = tl.load(p_v, mask=m_e & (o_n < keys)[:, None], other=0.0)  # [BN, BE]
        else:
            b_v = tl.load(p_v, mask=m_e, other=0.0)
        b_acc = b_acc * b_factor[:, None]
        b_acc = tl.dot(b_p.to(b_v.dtype), b_v, b_acc, input_precision=PRECISION)  # [BM, BE]
        p_k += BN * stride_kn.to(tl.int64)
        p_v += BN * stride_vn.to(tl.int64)
    return b_m, b_l, b_t, b_acc, p_k, p_v


@triton.jit
def forward(
    q, k, v, out, lse, entropy, max_prob,
    stride_qb, stride_qh, stride_qn, stride_qd, stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd, queries, keys, offset, group, c,
    D: tl.constexpr, DV: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
    BE: tl.constexpr, CAUSAL: tl.constexpr, ENTROPY: tl.constexpr, MAX_PROB: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One program: BM queries of one head. out [B, Hq, Nq, Dv], statistics [B, Hq, Nq], dense."""
    # The long causal rows come last in a sequence: start them first.
    i_m = tl.num_programs(0) - 1 - tl.program_id(0)
    i_h, i_b = tl.program_id(1), tl.program_id(2)
    heads = tl.num_programs(1)
    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    o_d, o_e = tl.arange(0, BD), tl.arange(0, BE)
    o_n = tl.arange(0, BN)
    m_m = o_m < queries
    m_d, m_e = o_d < D, o_e < DV

    # Addresses in 64 bits: one head's rows alone can pass 2^31 entries.
    p_q = q + i_b.to(tl.int64) * stride_qb + i_h.to(tl.int64) * stride_qh
    p_q += o_m.to(tl.int64)[:, None] * stride_qn + o_d[None, :] * stride_qd
    p_k = k + i_b.to(tl.int64) * stride_kb + (i_h // group).to(tl.int64) * stride_kh
    p_k += o_n.to(tl.int64)[None, :] * stride_kn + o_d[:, None] * stride_kd  # [BD, BN]
    p_v = v + i_b.to(tl.int64) * stride_vb + (i_h // group).to(tl.int64) * stride_vh
    p_v += o_n.to(tl.int64)[:, None] * stride_vn + o_e[None, :] * stride_vd  # [BN, BE]

    b_q = tl.load(p_q, mask=m_m[:, None] & m_d[None, :], other=0.0)  # [BM, BD]
    b_m, b_l, b_t = online_start(BM)
    b_acc = tl.zeros([BM, BE], tl.float32)

    # Keys before `whole` are visible to every row of the block, keys from `stop` on to none.
    whole, stop = keys, keys
    if CAUSAL:
        whole = tl.maximum(tl.minimum(keys, offset + i_m * BM + 1), 0)
        stop = tl.maximum(tl.minimum(keys, offset + tl.minimum(queries, (i_m + 1) * BM)), 0)
    whole = whole // BN * BN
    o_a = offset + o_m
    b_m, b_l, b_t, b_acc, p_k, p_v = _sweep(
        b_m, b_l, b_t, b_acc, b_q, p_k, p_v, stride_kn, stride_vn, 0, whole, keys, o_a,
        m_d[:, None], m_e[None, :], c, False, CAUSAL, ENTROPY, PRECISION, BN,
    )  # fmt: skip
    b_m, b_l, b_t, b_acc, p_k, p_v = _sweep(
        b_m, b_l, b_t, b_acc, b_q, p_k, p_v, stride_kn, stride_vn, whole, stop, keys, o_a,
        m_d[:, None], m_e[None, :], c, True, CAUSAL, ENTROPY, PRECISION, BN,
    )  # fmt: skip

    i_row = (i_b.to(tl.int64) * heads + i_h) * queries
    b_out = tl.where((b_l > 0)[:, None], b_acc / b_l[:, None], 0.0)
    p_out = out + (i_row + o_m)[:, None] * DV + o_e[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=m_m[:, None] & m_e[None, :])
    tl.store(lse + i_row + o_m, online_lse(b_m, b_l, c), mask=m_m)
    if ENTROPY:
        b_h = online_entropy(b_l, b_t)
        b_seen = tl.minimum(keys, o_a + 1) if CAUSAL else keys + 0 * o_a
        # One visible key: exactly zero, whatever the rounding of l.
        tl.store(entropy + i_row + o_m, tl.where(b_seen == 1, 0.0, b_h), mask=m_m)
    if MAX_PROB:
        tl.store(max_prob + i_row + o_m, online_max_prob(b_m, b_l, c), mask=m_m)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool,
    query_offset: int,
    stats: tuple[str, ...],
) -> dict[str, Tensor]:
    """Output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq] float32, on the device of q.

    Raises `ValueError` for tensors that no GPU holds, unless Triton interprets (not bfloat16).
    """
    if not q.is_cuda and isinstance(forward, triton.JITFunction):
        raise ValueError(
            f"attention: impl='triton' runs on a GPU and the tensors are on {q.device}; use "
            "'portable' (TRITON_INTERPRET=1 lets tests run the kernel here)"
        )
    if not q.is_cuda and q.dtype == torch.bfloat16:
        raise ValueError("attention: Triton's interpreter takes bfloat16 for integers; use float32")
    batch, heads, queries, dim = q.shape
    width = v.shape[-1]
    rows = (batch, heads, queries)
    result = {"out": torch.empty(*rows, width, dtype=v.dtype, device=q.device)}
    for name in dict.fromkeys(("lse", *stats)):
        result[name] = torch.empty(rows, dtype=torch.float32, device=q.device)
    if result["lse"].numel() == 0:
        return result
    head, value = tiles.padded(dim), tiles.padded(width)
    tile = tiles.choose(tiles.of_device(q.device), max(head, value), q.dtype)
    grid = (triton.cdiv(queries, tile.queries), heads, batch)
    with torch.cuda.device_of(q):
        forward[grid](
            q, k, v, result["out"], result["lse"],
            result.get("entropy"), result.get("max_prob"),
            *q.stride(), *k.stride(), *v.stride(), queries, k.shape[2], query_offset,
            heads // k.shape[1], scale * math.log2(math.e),
            D=dim, DV=width, BM=tile.queries, BN=tile.keys, BD=head, BE=value, CAUSAL=causal,
            ENTROPY="entropy" in stats, MAX_PROB="max_prob" in stats,
            PRECISION="ieee" if q.dtype == torch.float32 else "tf32",
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
    return result
