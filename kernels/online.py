"""The online softmax with entropy: the one step that carries (m, l, t) through a row of scores.

Over the keys seen so far, with z = c·s − c·m in base 2, c = scale · log2 e: m = max s (unscaled),
l = Σ 2^z and t = Σ 2^z·z. When m rises, they are moved to the new maximum before the tile is added,
so nothing large is ever subtracted (for the sums: Milakov & Gimelshein 2018).
"""

from __future__ import annotations

import triton
import triton.language as tl

# m before the first key. Finite: from −inf, δ·l = −inf · 0 would be NaN. Below any real score, and
# above HIDDEN, so that a row that sees nothing keeps l = 0.
_FLOOR = tl.constexpr(-1e30)
_LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def online_start(ROWS: tl.constexpr):
    """(m, l, t) of `ROWS` rows that have seen no key, each [ROWS] float32."""
    b_m = tl.full([ROWS], _FLOOR, tl.float32)
    b_l = tl.zeros([ROWS], tl.float32)
    b_t = tl.zeros([ROWS], tl.float32)
    return b_m, b_l, b_t


@triton.jit
def online_step(
    b_m, b_l, b_t, b_u, b_s, c, ENTROPY: tl.constexpr, VARENTROPY: tl.constexpr,
):  # fmt: skip
    """Take in a tile of scores b_s [BM, BN], before the scale c > 0.

    Entries that do not count are `HIDDEN` (scores.py): finite, since 0 · (−inf) would be NaN.
    Returns m, l, t, u [BM], the tile's unnormalised weights [BM, BN] and the factor [BM] by which
    whatever else was summed so far has to be multiplied. t needs ENTROPY, u = Σ 2^z·z² both flags.
    """
    b_top = tl.maximum(b_m, tl.max(b_s, 1))  # [BM]
    b_shift = b_top * c
    b_z = tl.fma(b_s, c, -b_shift[:, None])  # [BM, BN]
    b_p = tl.exp2(b_z)
    b_delta = b_m * c - b_shift  # [BM], ≤ 0
    b_factor = tl.exp2(b_delta)
    if ENTROPY:
        b_pz = b_p * b_z
        if VARENTROPY:
            b_pzz = b_pz * b_z
            b_near = tl.maximum(b_delta, -1e4)  # below, the factor is 0, and δ² would overflow
            b_u = b_factor * (b_u + b_near * (2 * b_t + b_near * b_l)) + tl.sum(b_pzz, 1)
        b_t = b_factor * (b_t + b_delta * b_l) + tl.sum(b_pz, 1)
    b_l = b_factor * b_l + tl.sum(b_p, 1)
    return b_top, b_l, b_t, b_u, b_p, b_factor


@triton.jit
def online_lse(b_m, b_l, c):
    """ln Σ exp of the scaled scores [BM]; −inf where no key was visible."""
    b_lse = _LN2 * (b_m * c + tl.log2(b_l))
    return tl.where(b_l > 0, b_lse, float("-inf"))


@triton.jit
def online_entropy(b_l, b_t):
    """Entropy [BM] in nats, never negative; NaN where no key was visible."""
    b_h = _LN2 * tl.maximum(tl.log2(b_l) - b_t / b_l, 0.0)
    return tl.where(b_l > 0, b_h, float("nan"))


@triton.jit
def online_max_prob(b_m, b_l, c):
    """The largest probability [BM]; NaN where no key was visible.

    The largest weight is 2^z at z = c·m − fl(c·m), which is the rounding of c·m and not quite 0.
    """
    b_z = tl.fma(b_m, c, -(b_m * c))
    return tl.where(b_l > 0, tl.exp2(b_z) / b_l, float("nan"))


@triton.jit
def online_varentropy(b_l, b_t, b_u):
    """Variance of ln p under p [BM] in nats², never negative; NaN where no key was visible."""
    b_mean = b_t / b_l
    b_var = _LN2 * _LN2 * tl.maximum(b_u / b_l - b_mean * b_mean, 0.0)
    return tl.where(b_l > 0, b_var, float("nan"))
