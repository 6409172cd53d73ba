"""Variant of the Hopper kernel: the row maximum as a tree of 16 parts instead of one long chain.

The compiler makes the maximum of a row's scores one chain of dependent instructions. Sixteen
partial maxima break the chain at no further instruction. Everything else is
`attentropy.kernels.attention.hopper_kernel`.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from attentropy.kernels.attention.hopper_constants import LANES, ROWS
from attentropy.kernels.attention.hopper_kernel import (
    _column,
    parts,
    _produce,
    visible_scores,
)
from attentropy.kernels.common.triton_online import FLOOR, LN2


@gluon.jit
def _softmax(b_s, b_m, b_l, b_t, c, ENTROPY: gl.constexpr):
    """Return m [M], l and t [M, LANES], weights [M, N] and factor [M]: `online_step` in Gluon."""
    b_top = gl.maximum(
        b_m, gl.convert_layout(gl.max(gl.max(parts(b_s, 16), 1), 1), b_m.type.layout)
    )
    b_z = gl.fma(b_s, c, -gl.expand_dims(b_top * c, 1))
    b_p = gl.exp2(b_z)
    b_delta = (b_m - b_top) * c
    b_factor = gl.exp2(b_delta)
    b_scale = _column(b_factor, b_l)
    if ENTROPY:
        b_t = b_scale * (b_t + _column(b_delta, b_l) * b_l) + gl.sum(parts(b_p * b_z, LANES), 1)
    b_l = b_scale * b_l + gl.sum(parts(b_p, LANES), 1)
    return b_top, b_l, b_t, b_p, b_factor


@gluon.jit
def _step(
    j, b_acc, b_m, b_l, b_t, b_p, s_q, s_k, s_v, barriers, b_none, o_a, tiles, keys, c,
    BN: gl.constexpr, STAGES: gl.constexpr, MASKED: gl.constexpr, CAUSAL: gl.constexpr,
    ENTROPY: gl.constexpr, LAYOUT: gl.constexpr, WEIGHTS: gl.constexpr,
):  # fmt: skip
    """Take the scores of tile j, counted from the last tile, and the values of tile j − 1."""
    _, k_ready, k_free, v_ready, v_free = barriers
    stage, before = j % STAGES, (j - 1) % STAGES
    mbarrier.wait(k_ready.index(stage), j // STAGES & 1)
    b_s = warpgroup_mma(s_q, s_k.index(stage).permute((1, 0)), b_none, use_acc=False, is_async=True)
    mbarrier.wait(v_ready.index(before), (j - 1) // STAGES & 1)
    b_acc = warpgroup_mma(b_p, s_v.index(before), b_acc, is_async=True)
    b_s = warpgroup_mma_wait(1, deps=[b_s])
    mbarrier.arrive(k_free.index(stage))
    b_s = visible_scores(b_s, o_a, (tiles - 1 - j) * BN, keys, MASKED, CAUSAL, LAYOUT)
    b_m, b_l, b_t, b_next, b_factor = _softmax(b_s, b_m, b_l, b_t, c, ENTROPY)
    b_next = gl.convert_layout(b_next.to(s_v.dtype), WEIGHTS)
    b_factor = gl.convert_layout(b_factor, gl.SliceLayout(1, WEIGHTS.parent))
    b_acc, b_p, b_next, b_l, b_t = warpgroup_mma_wait(0, deps=[b_acc, b_p, b_next, b_l, b_t])
    mbarrier.arrive(v_free.index(before))
    return b_acc * gl.expand_dims(b_factor, 1), b_m, b_l, b_t, b_next


@gluon.jit
def _consume(
    inputs, barriers, outputs, block, I_G: gl.constexpr, D: gl.constexpr, BN: gl.constexpr,
    STAGES: gl.constexpr, CAUSAL: gl.constexpr,
):  # fmt: skip
    """Take group I_G of the block's rows through all tiles and store its results.

    The block's rows begin at query `first` and at row i_row of all heads. The last `masked` tiles
    have keys that some row may not see.
    """
    s_q, s_k, s_v = inputs
    q_ready, k_ready, k_free, v_ready, _ = barriers
    out, lse, entropy, max_prob = outputs
    queries, keys, offset, i_row, first, tiles, masked, c = block
    ENTROPY: gl.constexpr = entropy is not None
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BN, 16])
    OUTPUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, D, 16])
    WEIGHTS: gl.constexpr = gl.DotOperandLayout(0, OUTPUT, 2)

    o_m = first + I_G * ROWS + gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
    o_a = offset + o_m
    s_q = s_q.index(I_G)
    b_none = gl.zeros([ROWS, BN], gl.float32, LAYOUT)
    b_m = gl.full([ROWS], FLOOR, gl.float32, gl.SliceLayout(1, LAYOUT))
    b_l = gl.sum(parts(b_none, LANES), 1)  # zeros, in the layout of such sums
    b_acc = gl.zeros([ROWS, D], gl.float32, OUTPUT)

    mbarrier.wait(q_ready.index(I_G), 0)
    mbarrier.wait(k_ready.index(0), 0)
    b_s = warpgroup_mma(s_q, s_k.index(0).permute((1, 0)), b_none, use_acc=False, is_async=True)
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    mbarrier.arrive(k_free.index(0))
    b_s = visible_scores(b_s, o_a, (tiles - 1) * BN, keys, True, CAUSAL, LAYOUT)
    b_m, b_l, b_t, b_p, _ = _softmax(b_s, b_m, b_l, b_l, c, ENTROPY)
    b_p = gl.convert_layout(b_p.to(s_v.dtype), WEIGHTS)
    for j in range(1, masked):
        b_acc, b_m, b_l, b_t, b_p = _step(
            j, b_acc, b_m, b_l, b_t, b_p, s_q, s_k, s_v, barriers, b_none, o_a, tiles, keys, c, BN,
            STAGES, True, CAUSAL, ENTROPY, LAYOUT, WEIGHTS,
        )  # fmt: skip
    for j in range(masked, tiles):
        b_acc, b_m, b_l, b_t, b_p = _step(
            j, b_acc, b_m, b_l, b_t, b_p, s_q, s_k, s_v, barriers, b_none, o_a, tiles, keys, c, BN,
            STAGES, False, CAUSAL, ENTROPY, LAYOUT, WEIGHTS,
        )  # fmt: skip
    last = (tiles - 1) % STAGES
    mbarrier.wait(v_ready.index(last), (tiles - 1) // STAGES & 1)
    b_acc = warpgroup_mma(b_p, s_v.index(last), b_acc, is_async=True)
    b_acc = warpgroup_mma_wait(0, deps=[b_acc])

    m_m = o_m < queries
    o_row = i_row + I_G * ROWS + gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
    b_l = gl.convert_layout(gl.sum(b_l, 1), gl.SliceLayout(1, LAYOUT))
    gl.store(lse + o_row, LN2 * (b_m * c + gl.log2(b_l)), mask=m_m)
    if ENTROPY:
        b_t = gl.convert_layout(gl.sum(b_t, 1), gl.SliceLayout(1, LAYOUT))
        b_h = LN2 * gl.maximum(gl.log2(b_l) - b_t / b_l, 0.0)
        if CAUSAL:  # one visible key: exactly zero, whatever the rounding of l
            b_h = gl.where(gl.minimum(keys, o_a + 1) == 1, 0.0, b_h)
        gl.store(entropy + o_row, b_h, mask=m_m)
    if max_prob is not None:
        gl.store(max_prob + o_row, gl.exp2(gl.fma(b_m, c, -(b_m * c))) / b_l, mask=m_m)
    b_share = gl.convert_layout(1 / b_l, gl.SliceLayout(1, OUTPUT))
    o_m = gl.convert_layout(o_m, gl.SliceLayout(1, OUTPUT))
    o_row = gl.convert_layout(o_row, gl.SliceLayout(1, OUTPUT))
    o_d = gl.arange(0, D, gl.SliceLayout(0, OUTPUT))
    p_out = out + gl.expand_dims(o_row, 1) * D + gl.expand_dims(o_d, 0)
    b_out = (b_acc * gl.expand_dims(b_share, 1)).to(s_v.dtype)
    gl.store(p_out, b_out, mask=gl.expand_dims(o_m < queries, 1))


@gluon.jit(do_not_specialize=["heads", "queries", "keys", "offset", "group"])
def forward(
    q, k, v, out, lse, entropy, max_prob, heads, queries, keys, offset, group, c,
    GROUPS: gl.constexpr, D: gl.constexpr, BN: gl.constexpr, STAGES: gl.constexpr,
    REGISTERS: gl.constexpr, CAUSAL: gl.constexpr,
):  # fmt: skip
    """Compute 64 · GROUPS (2 or 3) queries of one head; each of them sees a key: offset ≥ 0.

    q, k, v: tensor descriptors of blocks [1, 1, 64 or BN, D]; out [B, Hq, Nq, D], lse, entropy and
    max_prob [B, Hq, Nq]: dense, the last two or None. c = scale · log2 e > 0. REGISTERS: of each
    thread of a group.
    """
    # The last rows of a causal sequence take longest: start them first.
    first = (gl.num_programs(0) - 1 - gl.program_id(0)) * (GROUPS * ROWS)
    i_h, i_b = gl.program_id(1), gl.program_id(2)
    hi, full = keys, keys  # some row of the block sees keys 0 … hi−1, every row 0 … full−1
    if CAUSAL:
        hi = gl.minimum(keys, offset + gl.minimum(queries, first + GROUPS * ROWS))
        full = gl.minimum(keys, offset + first + 1)
    tiles = gl.cdiv(hi, BN)
    masked = gl.maximum(tiles - full // BN, 1)
    i_row = (i_b.to(gl.int64) * heads + i_h) * queries + first

    s_q = gl.allocate_shared_memory(q.dtype, [GROUPS, 1, 1, ROWS, D], q.layout)
    s_k = gl.allocate_shared_memory(k.dtype, [STAGES, 1, 1, BN, D], k.layout)
    s_v = gl.allocate_shared_memory(v.dtype, [STAGES, 1, 1, BN, D], v.layout)
    q_ready = gl.allocate_shared_memory(gl.int64, [GROUPS, 1], mbarrier.MBarrierLayout())
    k_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    k_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(GROUPS):
        mbarrier.init(q_ready.index(i), count=1)
    for i in gl.static_range(STAGES):
        mbarrier.init(k_ready.index(i), count=1)
        mbarrier.init(v_ready.index(i), count=1)
        mbarrier.init(k_free.index(i), count=GROUPS)
        mbarrier.init(v_free.index(i), count=GROUPS)
    fence_async_shared()

    FLAT: gl.constexpr = gl.NVMMASharedLayout(q.layout.swizzle_byte_width, 16, 2)
    x_q = s_q._reinterpret(q.dtype, [GROUPS, ROWS, D], FLAT)
    x_k = s_k._reinterpret(k.dtype, [STAGES, BN, D], FLAT)
    x_v = s_v._reinterpret(v.dtype, [STAGES, BN, D], FLAT)
    inputs = (x_q, x_k, x_v)
    barriers = (q_ready, k_ready, k_free, v_ready, v_free)
    outputs = (out, lse, entropy, max_prob)
    block = (queries, keys, offset, i_row, first, tiles, masked, c)
    copies = (q, k, v, s_q, s_k, s_v, barriers, i_b, i_h, i_h // group, first, tiles)
    if GROUPS == 2:
        gl.warp_specialize([
            (_consume, (inputs, barriers, outputs, block, 0, D, BN, STAGES, CAUSAL)),
            (_consume, (inputs, barriers, outputs, block, 1, D, BN, STAGES, CAUSAL)),
            (_produce, (copies, GROUPS, BN, STAGES)),
        ], [4, 1], [REGISTERS, 24])  # fmt: skip
    else:
        gl.warp_specialize([
            (_consume, (inputs, barriers, outputs, block, 0, D, BN, STAGES, CAUSAL)),
            (_consume, (inputs, barriers, outputs, block, 1, D, BN, STAGES, CAUSAL)),
            (_consume, (inputs, barriers, outputs, block, 2, D, BN, STAGES, CAUSAL)),
            (_produce, (copies, GROUPS, BN, STAGES)),
        ], [4, 4, 1], [REGISTERS, REGISTERS, 24])  # fmt: skip
