"""What `hopper_lazy` makes of a warp group's sums after the last tile: results, and their stores.

Sums are [64, LANES], one part per thread of a row; a row's is the sum of its parts. With no visible
key l is 0, with a score of NaN or inf it is NaN: results follow from that, since maxima drop NaN.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import warpgroup_mma, warpgroup_mma_wait

from attentropy.kernels.attention.hopper_constants import BITS, LANES, ROWS
from attentropy.kernels.attention.hopper_kernel import parts
from attentropy.kernels.common.triton_online import LN2

_LOG2E = gl.constexpr(1.4426950408889634)


@gluon.jit
def first_weights(s_q, s_first, b_m, o_a, keys, early, c, CAUSAL: gl.constexpr):
    """Return the sums [64, LANES] of the weights of the keys 0 … early − 1, at most 16.

    s_first: the first 16 keys in shared memory.
    """
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, 16, 16])
    b_none = gl.zeros([ROWS, 16], gl.float32, LAYOUT)
    b_s = warpgroup_mma(s_q, s_first.permute((1, 0)), b_none, use_acc=False, is_async=True)
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    b_x = parts(b_s, LANES)
    b_shift = gl.convert_layout(b_m, gl.SliceLayout(1, b_x.type.layout)) * c
    b_p = gl.exp2(gl.fma(b_x, c, -gl.expand_dims(b_shift, 1)))
    b_p = gl.convert_layout(gl.reshape(b_p, [ROWS, 16]), LAYOUT)
    o_end = gl.minimum(keys, early) + 0 * o_a
    if CAUSAL:
        o_end = gl.minimum(o_end, o_a + 1)
    o_end = gl.expand_dims(gl.convert_layout(o_end, gl.SliceLayout(1, LAYOUT)), 1)
    o_n = gl.expand_dims(gl.arange(0, 16, gl.SliceLayout(0, LAYOUT)), 0)
    return gl.sum(parts(gl.where(o_n < o_end, b_p, 0.0), LANES), 1)


@gluon.jit
def _total(b_x, LAYOUT: gl.constexpr):
    """Return the sums [64] of parts [64, LANES]."""
    return gl.convert_layout(gl.sum(b_x, 1), gl.SliceLayout(1, LAYOUT))


@gluon.jit
def _largest(b_x, LAYOUT: gl.constexpr):
    """Return the maxima [64] of parts [64, LANES]."""
    return gl.convert_layout(gl.max(b_x, 1), gl.SliceLayout(1, LAYOUT))


@gluon.jit
def _candidates(b_high, b_tile, tiles, LAYOUT: gl.constexpr):
    """Return where the highest score of each row may be [64]: a tile from the first, and lanes."""
    m_high = b_high == gl.expand_dims(gl.max(b_high, 1), 1)
    b_first = gl.max(gl.where(m_high, b_tile, -1), 1)
    o_lane = gl.expand_dims(gl.arange(0, LANES, gl.SliceLayout(0, b_high.type.layout)), 0)
    m_first = m_high & (b_tile == gl.expand_dims(b_first, 1))
    b_bits = gl.sum(gl.where(m_first, 1 << o_lane, 0), 1)
    return gl.convert_layout((tiles - 1 - b_first) * BITS + b_bits, gl.SliceLayout(1, LAYOUT))


@gluon.jit
def _positive(b_x):
    """Return b_x, 0 where it is negative; a maximum would turn NaN into 0."""
    return gl.where(b_x < 0.0, 0.0, b_x)


@gluon.jit
def store_results(
    b_acc, sums, b_early, outputs, o_m, o_a, queries, keys, i_h, i_row, first, tiles, c,
    CAUSAL: gl.constexpr, DIM: gl.constexpr, LAYOUT: gl.constexpr, OUTPUT: gl.constexpr,
):  # fmt: skip
    """Store the output [64, DIM] and the statistics of a group's queries o_m [64] at row i_row.

    sums as in `hopper_lazy._softmax`; b_early: of the first keys' weights.
    """
    out, lse, stats, sinks = outputs
    entropy, max_prob, max_logit, varentropy, distance, sink_mass, top_key, sink_prob = stats
    b_m, b_l, b_t, b_u, b_far, b_high, b_tile = sums
    nan: gl.constexpr = float("nan")
    o_row = i_row + gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
    m_m = o_m < queries
    if distance is not None:
        o_lane = gl.arange(0, LANES, gl.SliceLayout(0, b_l.type.layout)).to(gl.float32)
        b_far = _total(b_far + gl.expand_dims(o_lane, 0) * b_l, LAYOUT)
    b_l = _total(b_l, LAYOUT)
    b_shift = _largest(b_m, LAYOUT) * c
    b_lse = LN2 * (b_shift + gl.log2(b_l))
    gl.store(lse + o_row, b_lse, mask=m_m)
    if entropy is not None or varentropy is not None:
        b_t = _total(b_t, LAYOUT)
    if entropy is not None:
        b_h = LN2 * _positive(gl.log2(b_l) - b_t / b_l)
        if CAUSAL:  # one visible key: exactly zero, whatever the rounding of l, or NaN
            b_h = gl.where(gl.minimum(keys, o_a + 1) == 1, b_h - b_h, b_h)
        gl.store(entropy + o_row, b_h, mask=m_m)
    if varentropy is not None:
        b_mean = b_t / b_l
        b_u = _total(b_u, LAYOUT) / b_l - b_mean * b_mean
        gl.store(varentropy + o_row, LN2 * LN2 * _positive(b_u), mask=m_m)
    if distance is not None:
        gl.store(distance + o_row, (o_a - first).to(gl.float32) - b_far / b_l, mask=m_m)
    if sink_mass is not None:
        gl.store(sink_mass + o_row, _total(b_early, LAYOUT) / b_l, mask=m_m)
    if max_prob is not None:
        b_largest = gl.exp2(gl.fma(_largest(b_high, LAYOUT), c, -b_shift)) / b_l
        gl.store(max_prob + o_row, gl.where(b_l > 0, b_largest, nan), mask=m_m)
    if max_logit is not None:
        b_score = LN2 * (_largest(b_high, LAYOUT) * c)
        gl.store(max_logit + o_row, gl.where(b_l > 0, b_score, nan), mask=m_m)
    if top_key is not None:
        b_key = _candidates(b_high, b_tile, tiles, LAYOUT)
        gl.store(top_key + o_row, gl.where(b_l > 0, b_key, -1), mask=m_m)
    b_share = 1 / b_l
    if sinks is not None:
        b_sink = 1 / (1 + gl.exp2((b_lse - gl.load(sinks + i_h)) * _LOG2E))
        b_share = b_share * (1 - b_sink)
        if sink_prob is not None:
            gl.store(sink_prob + o_row, b_sink, mask=m_m)
    _store_output(b_acc, b_share, b_l == 0, out, o_row, m_m, DIM, OUTPUT)


@gluon.jit
def _store_output(
    b_acc, b_share, m_none, out, o_row, m_m, DIM: gl.constexpr, OUTPUT: gl.constexpr,
):  # fmt: skip
    """Store DIM entries of b_acc [64, D] times b_share [64], 0 for rows m_none without a weight.

    A row has none where no key is visible or every score is −inf. A value of NaN reaches its sum
    nevertheless, as 0 · NaN, if other rows of the block see that tile.
    """
    D: gl.constexpr = b_acc.shape[1]
    b_share = gl.expand_dims(gl.convert_layout(b_share, gl.SliceLayout(1, OUTPUT)), 1)
    o_row = gl.expand_dims(gl.convert_layout(o_row, gl.SliceLayout(1, OUTPUT)), 1)
    m_out = gl.expand_dims(gl.convert_layout(m_m, gl.SliceLayout(1, OUTPUT)), 1)
    o_d = gl.expand_dims(gl.arange(0, D, gl.SliceLayout(0, OUTPUT)), 0)
    if DIM < D:
        m_out = m_out & (o_d < DIM)
    m_none = gl.expand_dims(gl.convert_layout(m_none, gl.SliceLayout(1, OUTPUT)), 1)
    b_out = gl.where(m_none, 0.0, b_acc * b_share).to(out.dtype.element_ty)
    gl.store(out + o_row * DIM + o_d, b_out, mask=m_out)
