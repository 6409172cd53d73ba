"""The online softmax with entropy in Triton: one step that carries (m, l, t) through a row.

Over the keys so far, with z = c·s − c·m in base 2 and c = scale · log2 e: m = max s (unscaled),
l = Σ 2^z and t = Σ 2^z·z. When m rises, the sums move to the new maximum before the tile is added,
so nothing large is ever subtracted (for the sums: Milakov & Gimelshein 2018). A score of NaN or
+inf makes l NaN, although maxima drop NaN, and with it whatever a row stores: at the end, l is 0
where no key was visible and NaN where nothing is known. A score of −inf makes t NaN alone.

A row's sums have LANES parts: column n of a tile adds to part n mod LANES, and the parts are added
up after the loop. So no step of the loop adds across threads (see `Tile.lanes`).
"""

from __future__ import annotations

import triton
import triton.language as tl

# m before the first key. Finite: from −inf, δ·l = −inf · 0 would be NaN. Below any real score, and
# above HIDDEN, so that l stays 0 for a row that sees no key.
FLOOR = tl.constexpr(-1e30)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def lane_sums(b_x, LANES: tl.constexpr):
    """Return the sums of b_x [BM, BN] over every LANES-th column, [BM, LANES]."""
    b_x = tl.reshape(b_x, [b_x.shape[0], b_x.shape[1] // LANES, LANES])
    return tl.sum(b_x, 1)


@triton.jit
def online_start(ROWS: tl.constexpr, LANES: tl.constexpr):
    """Return m [ROWS] and l, t [ROWS, LANES] before the first key, float32."""
    b_m = tl.full([ROWS], FLOOR, tl.float32)
    b_l = tl.zeros([ROWS, LANES], tl.float32)
    b_t = tl.zeros([ROWS, LANES], tl.float32)
    return b_m, b_l, b_t


@triton.jit
def online_step(
    b_m, b_l, b_t, b_u, b_s, b_high, c, ENTROPY: tl.constexpr, VARENTROPY: tl.constexpr,
):  # fmt: skip
    """Add a tile of scores b_s [BM, BN], before the scale c > 0, with their maxima b_high [BM].

    Hidden entries are `HIDDEN` (triton_scores.py): finite, since 0 · (−inf) would be NaN.
    Returns m [BM], l, t, u [BM, LANES], the tile's unnormalised weights [BM, BN] and the factor
    [BM] by which the caller multiplies whatever else it has summed so far. t needs ENTROPY,
    u = Σ 2^z·z² both flags.
    """
    LANES: tl.constexpr = b_l.shape[1]
    b_top = tl.maximum(b_m, b_high)  # [BM]
    b_shift = b_top * c
    b_z = tl.fma(b_s, c, -b_shift[:, None])  # [BM, BN]
    b_p = tl.exp2(b_z)
    b_delta = (b_m - b_top) * c  # [BM], ≤ 0; b_m · c − b_shift fuses, and is a rounding, not 0
    b_factor = tl.exp2(b_delta)
    b_scale = b_factor[:, None]
    if ENTROPY:
        b_pz = b_p * b_z
        if VARENTROPY:
            b_near = tl.maximum(b_delta, -1e4)[:, None]  # below, the factor is 0, δ² may overflow
            b_u = b_scale * (b_u + b_near * (2 * b_t + b_near * b_l)) + lane_sums(b_pz * b_z, LANES)
        b_t = b_scale * (b_t + b_delta[:, None] * b_l) + lane_sums(b_pz, LANES)
    b_l = b_scale * b_l + lane_sums(b_p, LANES)
    return b_top, b_l, b_t, b_u, b_p, b_factor


@triton.jit
def online_lse(b_m, b_l, c):
    """Return ln Σ exp of the scaled scores [BM]; −inf where no key was visible."""
    b_lse = LN2 * (b_m * c + tl.log2(b_l))
    return tl.where(b_l == 0, float("-inf"), b_lse)


@triton.jit
def online_entropy(b_l, b_t):
    """Return the entropy [BM] in nats, never negative; NaN where no key was visible, or a NaN."""
    b_h = tl.log2(b_l) - b_t / b_l
    b_h = LN2 * tl.maximum(b_h, 0.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.where(b_l == 0, float("nan"), b_h)


@triton.jit
def online_max_prob(b_m, b_l, c):
    """Return the largest probability [BM]; NaN where no key was visible.

    The largest weight is 2^z at z = c·m − fl(c·m), which is the rounding error of c·m and not 0.
    """
    b_z = tl.fma(b_m, c, -(b_m * c))
    return tl.where(b_l == 0, float("nan"), tl.exp2(b_z) / b_l)


@triton.jit
def online_max_logit(b_m, b_l, c):
    """Return the largest scaled score [BM] in nats; NaN where no key was visible, or a NaN."""
    return tl.where(b_l > 0, LN2 * (b_m * c), float("nan"))


@triton.jit
def online_varentropy(b_l, b_t, b_u):
    """Return the variance of ln p under p [BM] in nats², never negative; NaN without keys."""
    b_mean = b_t / b_l
    b_var = b_u / b_l - b_mean * b_mean
    b_var = LN2 * LN2 * tl.maximum(b_var, 0.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.where(b_l == 0, float("nan"), b_var)
