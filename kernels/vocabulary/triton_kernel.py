"""The vocabulary kernels in Triton: statistics of softmax(hidden @ unembeddingᵀ), no logits kept.

`sweep` takes a block of rows through one run of the vocabulary, `join` merges the runs exactly. The
machine code has only what the call requests: optional tensors are None.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.common.triton_online import (
    LN2,
    lane_sums,
    online_entropy,
    online_start,
    online_step,
)
from attentropy.kernels.common.triton_scores import HIDDEN, product, tanh
from attentropy.kernels.vocabulary.triton_ranking import (
    MAX_INT32,
    MAX_INT64,
    count_before,
    key_value,
    pack_key,
    update_top,
)

_LOG2E = tl.constexpr(1.4426950408889634)
# What stands for a logit of −inf: below the start of the running maximum, above HIDDEN.
LOWEST = tl.constexpr(-1e31)
_INFINITE = tl.constexpr(1e15)  # a divergence of so many nats comes of LOWEST


@triton.jit
def _products(
    b_s, b_f, hidden, unembedding, final, row, column, o_m, o_v,
    stride_hn, stride_hd, stride_wv, stride_wd, stride_fn, stride_fd,
    D: tl.constexpr, BK: tl.constexpr, DESCRIPTORS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the products of rows o_m and vocabulary entries o_v to b_s and, with `final`, to b_f.

    o_m [BM] and o_v [BN] lie within the tensors; where DESCRIPTORS, they begin at `row`, `column`.
    """
    o_k = tl.arange(0, BK)  # [BK]
    if not DESCRIPTORS:  # addresses in 64 bits: an unembedding can pass 2^31 entries
        p_h = hidden + o_m.to(tl.int64)[:, None] * stride_hn + o_k[None, :] * stride_hd
        p_w = unembedding + o_v.to(tl.int64)[None, :] * stride_wv + o_k[:, None] * stride_wd
        if final is not None:
            p_f = final + o_m.to(tl.int64)[:, None] * stride_fn + o_k[None, :] * stride_fd
    for i_k in range(0, D, BK):
        if DESCRIPTORS:  # reads zeros beyond the edges
            b_h = hidden.load([row, i_k])  # [BM, BK]
            b_w = unembedding.load([column, i_k]).T  # [BK, BN]
        elif D % BK == 0:
            b_h, b_w = tl.load(p_h), tl.load(p_w)
        else:
            m_k = i_k + o_k < D
            b_h = tl.load(p_h, mask=m_k[None, :], other=0.0)
            b_w = tl.load(p_w, mask=m_k[:, None], other=0.0)
        b_s = product(b_h, b_w, b_s, PRECISION)
        if final is not None:
            if DESCRIPTORS:
                b_last = final.load([row, i_k])
            elif D % BK == 0:
                b_last = tl.load(p_f)
            else:
                b_last = tl.load(p_f, mask=m_k[None, :], other=0.0)
            b_f = product(b_last, b_w, b_f, PRECISION)
        if not DESCRIPTORS:
            p_h += BK * stride_hd
            p_w += BK * stride_wd
            if final is not None:
                p_f += BK * stride_fd
    return b_s, b_f


@triton.jit
def _logits(b_s, b_bias, scale, softcap, BIAS: tl.constexpr, SCALE: tl.constexpr,
            SOFTCAP: tl.constexpr):  # fmt: skip
    """Return the logits of products [BM, BN]; b_bias [1, BN]."""
    if BIAS:  # as a sum it would start the product, and all partial sums would round at its size
        b_s = tl.fma(b_s, 1.0, b_bias)
    if SCALE:
        b_s = b_s * scale
    if SOFTCAP:
        b_s = softcap * tanh(b_s * (1.0 / softcap))
    return b_s


@triton.jit
def _read_bias(bias, o_v, scale):
    """Return the biases of the entries o_v [BN], float32.

    −inf, which hides a token, becomes a finite bias whose logit is LOWEST: 0 · (−inf) is NaN.
    """
    b_bias = tl.load(bias + o_v).to(tl.float32)
    lowest = tl.where(scale > 0, LOWEST / scale, float("-inf"))
    return tl.maximum(b_bias, lowest, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def target_logits(
    hidden, unembedding, bias, targets, out,
    stride_hn, stride_hd, stride_wv, stride_wd, rows, count, scale, softcap,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SCALE: tl.constexpr,
    SOFTCAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute the logits of the targets; targets int32 and out float32, [rows, count] dense.

    The blocks and products are those of `sweep`, with the targets' own unembeddings as columns, so
    that the logit equals the one there bit for bit: the rank counts what lies above it. BN ≥ BM.
    """
    i_m, i_t = tl.program_id(1), tl.program_id(0)
    o_r, o_c = tl.arange(0, BM), tl.arange(0, BN)
    o_m = i_m.to(tl.int64) * BM + o_r  # [BM]
    o_n = tl.minimum(i_m.to(tl.int64) * BM + o_c % BM, rows - 1)
    o_v = tl.load(targets + o_n * count + i_t)  # [BN], column c is the target of row c
    b_bias = o_c.to(tl.float32)
    if bias is not None:
        b_bias = _read_bias(bias, o_v, scale)
    b_s = tl.zeros([BM, BN], tl.float32)
    b_s, _ = _products(
        b_s, b_s, hidden, unembedding, None, 0, 0, tl.minimum(o_m, rows - 1), o_v,
        stride_hn, stride_hd, stride_wv, stride_wd, 0, 0, D, BK, False, PRECISION,
    )  # fmt: skip
    b_s = _logits(b_s, b_bias[None, :], scale, softcap, bias is not None, SCALE, SOFTCAP)
    b_own = tl.sum(tl.where(o_c[None, :] == o_r[:, None], b_s, 0.0), 1)
    tl.store(out + o_m * count + i_t, b_own, mask=o_m < rows)


@triton.jit
def sweep(
    hidden, unembedding, bias, final, targets, target_logit, m, l, t, m_f, l_f, r, keys, rank,
    stride_hn, stride_hd, stride_wv, stride_wd, stride_fn, stride_fd,
    rows, size, span, count, scale, softcap,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, TOP: tl.constexpr,
    SLOTS: tl.constexpr, SCALE: tl.constexpr, SOFTCAP: tl.constexpr, DESCRIPTORS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Take BM rows through a run of `span` vocabulary entries (a multiple of BN).

    hidden, final [rows, D], unembedding [size, D]: strided tensors, or their tensor descriptors.
    m, l, t and, with `final`, m_f, l_f, r = Σ 2^{z_f}(z_f − z): [runs, rows] float32; keys [runs,
    rows, TOP] int64, not in order, SLOTS ≥ TOP a power of two; targets, target_logit (computed by
    `target_logits`), rank [rows, count], `rank` int32 and zero at the start. Runs are the fast axis
    of the grid: programs that run together share their rows and, with the neighbouring rows, their
    unembeddings in L2.
    """
    i_run, i_m = tl.program_id(0), tl.program_id(1)
    o_m = i_m.to(tl.int64) * BM + tl.arange(0, BM)  # [BM]
    m_m = o_m < rows
    o_row = tl.minimum(o_m, rows - 1)
    first = i_run * span
    last = tl.minimum(first + span, size)

    b_m, b_l, b_t = online_start(BM, 1)
    b_mf, b_lf, b_r = online_start(BM, 1)
    if keys is not None:
        o_k = tl.arange(0, SLOTS)
        b_least = tl.full([BM], HIDDEN, tl.float32)
        b_none = tl.where(o_k < TOP, pack_key(tl.full([SLOTS], HIDDEN, tl.float32), o_k), MAX_INT64)
        b_keys = tl.zeros([BM, SLOTS], tl.int64) + b_none[None, :]
    for i_v in range(first, last, BN):
        o_v = i_v + tl.arange(0, BN)  # [BN]
        o_in = tl.minimum(o_v, size - 1)
        b_s = tl.zeros([BM, BN], tl.float32)
        b_s, b_f = _products(
            b_s, b_s, hidden, unembedding, final, i_m * BM, i_v, o_row, o_in,
            stride_hn, stride_hd, stride_wv, stride_wd, stride_fn, stride_fd, D, BK, DESCRIPTORS,
            PRECISION,
        )  # fmt: skip
        b_bias = o_v.to(tl.float32)
        if bias is not None:
            b_bias = _read_bias(bias, o_in, scale)
        b_s = _logits(b_s, b_bias[None, :], scale, softcap, bias is not None, SCALE, SOFTCAP)
        if i_v + BN > size:
            b_s = tl.where((o_v < size)[None, :], b_s, HIDDEN)
        b_before, b_high = b_m, tl.max(b_s, 1)
        b_m, b_l, b_t, _, _, _ = online_step(
            b_m, b_l, b_t, b_t, b_s, b_high, _LOG2E, t is not None, False
        )
        if final is not None:
            b_f = _logits(b_f, b_bias[None, :], scale, softcap, bias is not None, SCALE, SOFTCAP)
            if i_v + BN > size:
                b_f = tl.where((o_v < size)[None, :], b_f, HIDDEN)
            b_first, b_sum = b_mf, b_lf
            b_mf, b_lf, _, _, b_p, b_factor = online_step(
                b_mf, b_lf, b_lf, b_lf, b_f, tl.max(b_f, 1), _LOG2E, False, False
            )
            b_gap = (b_f - b_mf[:, None]) - (b_s - b_m[:, None])  # z_f − z, in nats
            b_moved = ((b_first - b_mf) - (b_before - b_m))[:, None]
            b_r = b_factor[:, None] * (b_r + b_moved * b_sum) + lane_sums(b_p * b_gap, 1)
        if rank is not None:
            for i_t in range(count):
                b_target = tl.load(target_logit + o_row * count + i_t)  # [BM]
                b_own = tl.load(targets + o_row * count + i_t)
                b_count = count_before(b_s, b_target, b_own, i_v, o_v, BN)
                tl.atomic_add(
                    rank + o_row * count + i_t, b_count, mask=m_m & (b_count > 0), sem="relaxed"
                )
        if keys is not None:
            b_keys, b_least = update_top(b_keys, b_least, b_s, b_high, o_v)

    o_out = i_run.to(tl.int64) * rows + o_m
    tl.store(m + o_out, b_m, mask=m_m)
    tl.store(l + o_out, tl.sum(b_l, 1), mask=m_m)
    if t is not None:
        tl.store(t + o_out, tl.sum(b_t, 1), mask=m_m)
    if final is not None:
        tl.store(m_f + o_out, b_mf, mask=m_m)
        tl.store(l_f + o_out, tl.sum(b_lf, 1), mask=m_m)
        tl.store(r + o_out, tl.sum(b_r, 1), mask=m_m)
    if keys is not None:
        p_keys = keys + o_out[:, None] * TOP + o_k[None, :]
        tl.store(p_keys, b_keys, mask=m_m[:, None] & (o_k < TOP)[None, :])


@triton.jit
def join(
    m, l, t, m_f, l_f, r, keys, target_logit, lse, entropy, kl, top_ids, top_logprobs,
    target_logprob, rows, runs, count,
    BM: tl.constexpr, RUNS: tl.constexpr, KEYS: tl.constexpr, TOP: tl.constexpr,
):  # fmt: skip
    """Merge the runs of BM rows: every sum moves to the common maximum, as in `online_step`.

    RUNS ≥ runs and KEYS ≥ runs · TOP are powers of two. A run without entries adds nothing.
    """
    o_m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)  # [BM]
    m_m = o_m < rows
    o_s = tl.arange(0, RUNS)
    o_row = tl.minimum(o_m, rows - 1)
    o_part = o_s.to(tl.int64)[None, :] * rows + o_row[:, None]  # [BM, RUNS]
    m_part = (o_s < runs)[None, :]
    b_m = tl.load(m + o_part, mask=m_part, other=HIDDEN)
    b_l = tl.load(l + o_part, mask=m_part, other=0.0)
    b_top = tl.max(b_m, 1)  # [BM]
    b_delta = b_m - b_top[:, None]
    b_factor = tl.exp2(b_delta * _LOG2E)
    b_sum = tl.sum(b_factor * b_l, 1)
    # No logit above −inf: NaN, as where one is NaN or +inf.
    b_log = tl.where(b_sum == 0, float("nan"), LN2 * tl.log2(b_sum))
    tl.store(lse + o_m, b_top + b_log, mask=m_m)
    if entropy is not None:
        b_t = tl.load(t + o_part, mask=m_part, other=0.0)
        b_t = tl.sum(b_factor * (b_t + b_delta * _LOG2E * b_l), 1)
        tl.store(entropy + o_m, online_entropy(b_sum, b_t), mask=m_m)
    if kl is not None:
        b_mf = tl.load(m_f + o_part, mask=m_part, other=HIDDEN)
        b_lf = tl.load(l_f + o_part, mask=m_part, other=0.0)
        b_r = tl.load(r + o_part, mask=m_part, other=0.0)
        b_moved = b_mf - tl.max(b_mf, 1)[:, None]
        b_scale = tl.exp2(b_moved * _LOG2E)
        b_of = tl.sum(b_scale * b_lf, 1)
        b_r = tl.sum(b_scale * (b_r + (b_moved - b_delta) * b_lf), 1)
        b_kl = b_r / b_of + LN2 * tl.log2(b_sum / b_of)
        b_kl = tl.where(b_kl > _INFINITE, float("inf"), b_kl)
        b_kl = tl.where(b_sum > 0, b_kl, float("nan"))
        tl.store(kl + o_m, tl.maximum(b_kl, 0.0, propagate_nan=tl.PropagateNan.ALL), mask=m_m)
    if keys is not None:
        o_k = tl.arange(0, KEYS)
        o_key = (o_k // TOP).to(tl.int64)[None, :] * rows + o_row[:, None]
        o_key = o_key * TOP + (o_k % TOP)[None, :]  # [BM, KEYS]
        m_key = (o_k < runs * TOP)[None, :]
        b_keys = tl.load(keys + o_key, mask=m_key, other=-MAX_INT64)
        for i_k in range(TOP):
            b_best = tl.max(b_keys, 1)
            b_keys = tl.where(b_keys == b_best[:, None], -MAX_INT64, b_keys)
            b_id = (b_best & MAX_INT32).to(tl.int32) ^ MAX_INT32
            b_value = key_value(b_best)
            b_value = tl.where(b_value <= LOWEST / 2, float("-inf"), b_value)
            tl.store(top_ids + o_m * TOP + i_k, tl.where(b_sum > 0, b_id, i_k), mask=m_m)
            tl.store(top_logprobs + o_m * TOP + i_k, b_value - b_top - b_log, mask=m_m)
    if target_logit is not None:
        for i_t in range(count):
            b_target = tl.load(target_logit + o_row * count + i_t)
            b_target = tl.where(b_target <= LOWEST / 2, float("-inf"), b_target)
            tl.store(target_logprob + o_m * count + i_t, b_target - b_top - b_log, mask=m_m)
