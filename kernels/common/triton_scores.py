"""Scores of a tile and their mask in Triton: the steps that every attention kernel shares.

q · k becomes a score by scale, softcap and ALiBi's slope. The score of a key that a query may not
see becomes `HIDDEN`: finite, so that 0 · HIDDEN is 0, and so low that no real score reaches it.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Below every real score and below the start of the running maximum (triton_online.py). Times any
# factor that is folded into the exponential (1e-6 … 1e4), its power of two is 0, and it is finite.
HIDDEN = tl.constexpr(-1e32)

_MINUS_2LOG2E = tl.constexpr(-2.8853900817779268)


@triton.jit
def product(b_a, b_b, b_acc, PRECISION: tl.constexpr):
    """Return b_a [M, K] · b_b [K, N] + b_acc [M, N] (or None), summed in float32.

    PRECISION is Triton's input_precision, or "widened": Triton's interpreter takes bfloat16 for
    integers, so the operands are converted to float32 first.
    """
    if PRECISION == "widened":
        b_a, b_b = b_a.to(tl.float32), b_b.to(tl.float32)
        return tl.dot(b_a, b_b, b_acc, input_precision="ieee")
    else:
        return tl.dot(b_a, b_b, b_acc, input_precision=PRECISION)


@triton.jit
def tanh(b_x):
    """Return tanh to a few units in the last place: near zero a series, since 1 − e^−2x cancels."""
    b_y = b_x * b_x
    b_near = b_x * (1 + b_y * (-1 / 3 + b_y * (2 / 15 + b_y * (-17 / 315 + b_y * (62 / 2835)))))
    b_e = tl.exp2(tl.abs(b_x) * _MINUS_2LOG2E)
    b_far = (1 - b_e) / (1 + b_e)
    return tl.where(b_y < 0.09, b_near, tl.where(b_x < 0, -b_far, b_far))


@triton.jit
def bend(b_s, o_a, o_n, scale, softcap, slope, SOFTCAP: tl.constexpr, SLOPES: tl.constexpr):
    """Return the scores of q · k [BM, BN]: scale, then softcap, then − slope · (a − j)."""
    b_s = b_s * scale
    if SOFTCAP:
        b_s = softcap * tanh(b_s / softcap)
    if SLOPES:
        b_s = b_s - slope * (o_a[:, None] - o_n[None, :]).to(tl.float32)
    return b_s


@triton.jit
def chunk_begin(position, start, chunk):
    """Return the first key of the chunk of `chunk` keys, counted from `start`, at a position."""
    past = position - start
    behind = -((chunk - 1 - past) // chunk)  # whole chunks, downwards; the dividend is positive
    return start + tl.where(past < 0, behind, tl.maximum(past, 0) // chunk) * chunk


@triton.jit
def visible(
    o_a, o_n, m_n, o_c, window, chunk, b_segment, b_other,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, SEGMENTS: tl.constexpr,
):  # fmt: skip
    """Return which of the keys o_n [BN] the queries at the positions o_a [BM] see, [BM, BN].

    m_n [BN]: keys that are not padding; o_c [BM]: where the queries' chunks begin; b_segment [BM],
    b_other [BN]: the segments of queries and keys.
    """
    m_s = m_n[None, :]
    if CAUSAL:
        m_s = m_s & (o_n[None, :] <= o_a[:, None])
    if WINDOW:
        m_s = m_s & (o_n[None, :] > o_a[:, None] - window)
        if not CAUSAL:
            m_s = m_s & (o_n[None, :] < o_a[:, None] + window)
    if CHUNK:
        m_s = m_s & (o_n[None, :] >= o_c[:, None]) & (o_n[None, :] < o_c[:, None] + chunk)
    if SEGMENTS:
        m_s = m_s & (b_segment[:, None] == b_other[None, :])
    return m_s


@triton.jit
def viewers(
    n_first, n_last, start, offset, queries, window, chunk,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Return lo, hi, full_lo, full_hi: which queries see some or all of keys n_first … n_last.

    Queries lo … hi−1 see some of them, queries full_lo … full_hi−1 all of them, segments aside.
    """
    lo, hi = offset, offset + queries
    full_lo, full_hi = lo, hi
    if CAUSAL:
        lo, full_lo = tl.maximum(lo, n_first), tl.maximum(full_lo, n_last)
    if WINDOW:
        hi, full_hi = tl.minimum(hi, n_last + window), tl.minimum(full_hi, n_first + window)
        if not CAUSAL:
            lo = tl.maximum(lo, n_first - window + 1)
            full_lo = tl.maximum(full_lo, n_last - window + 1)
    if CHUNK:
        low, high = chunk_begin(n_first, start, chunk), chunk_begin(n_last, start, chunk)
        lo, full_lo = tl.maximum(lo, low), tl.maximum(full_lo, high)
        hi, full_hi = tl.minimum(hi, high + chunk), tl.minimum(full_hi, low + chunk)
    hi = tl.where(n_first > n_last, lo, hi)
    return lo - offset, hi - offset, full_lo - offset, full_hi - offset
