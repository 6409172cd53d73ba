"""What each key receives, Σ_i p_ij, for Hopper in Gluon: a program's keys stay in shared memory.

One warp copies blocks of 64 queries, which three warp groups take in turns: a group multiplies its
next block while it adds the exponentials of the one before. Queries are rows, so lse is one number
per row, and a thread adds to the same keys all along; groups store sums of their own, which the
launch adds in a fixed order. It takes causal or full attention without padding.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from attentropy.kernels.attention.hopper_constants import ROWS
from attentropy.kernels.common.triton_scores import HIDDEN

GROUPS = gl.constexpr(3)  # of warps; each has its own sums
_LOG2E = gl.constexpr(1.4426950408889634)


@gluon.jit
def _next(stage, phase, STAGES: gl.constexpr):
    """Return the next stage of the ring, and the phase of its barriers."""
    stage += 1
    if stage == STAGES:
        stage = 0
        phase ^= 1
    return stage, phase


@gluon.jit
def _span(i_n, queries, offset, BN: gl.constexpr, CAUSAL: gl.constexpr):
    """Return the first query of the keys i_n …, the steps from there on, and how many are masked.

    A step is a block of queries for each group. All queries of later steps see all BN keys.
    """
    first, masked = 0 * queries, 0 * queries
    if CAUSAL:
        first = gl.minimum(gl.maximum(i_n - offset, 0), queries) // ROWS * ROWS
        masked = gl.cdiv(gl.maximum(i_n + BN - 1 - offset - first, 0), GROUPS * ROWS)
    steps = gl.maximum(gl.cdiv(queries - first, GROUPS * ROWS), 1)
    return first, steps, gl.minimum(masked, steps - 1)


@gluon.jit
def _produce(
    q, k, shared, queries, offset, group, BN: gl.constexpr, STAGES: gl.constexpr,
    CAUSAL: gl.constexpr,
):  # fmt: skip
    """Copy the block's keys, then blocks of queries, one for each group in turn."""
    s_q, s_k, k_ready, ready, free = shared
    i_n, i_h, i_b = gl.program_id(0) * BN, gl.program_id(1), gl.program_id(2)
    i_kv = i_h // group
    first, steps, _ = _span(i_n, queries, offset, BN, CAUSAL)
    mbarrier.expect(k_ready.index(0), k.block_type.nbytes)
    tma.async_copy_global_to_shared(k, [i_b, i_kv, i_n, 0], k_ready.index(0), s_k)
    stage, phase = 0, 1
    for j in range(steps):
        for i_g in gl.static_range(GROUPS):
            slot = stage * GROUPS + i_g
            mbarrier.wait(free.index(slot), phase)
            mbarrier.expect(ready.index(slot), q.block_type.nbytes)
            tma.async_copy_global_to_shared(
                q, [i_b, i_h, first + (j * GROUPS + i_g) * ROWS, 0], ready.index(slot),
                s_q.index(slot),
            )  # fmt: skip
        stage, phase = _next(stage, phase, STAGES)


@gluon.jit
def _base(p_lse, i_m, queries, LAYOUT: gl.constexpr):
    """Return −lse · log2 e of 64 queries from i_m on; weights of a row without keys become 0.

    So do those of a row beyond the queries.
    """
    o_m = i_m + gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
    b_lse = gl.load(p_lse + o_m, mask=o_m < queries, other=float("-inf"))
    return gl.where(b_lse == float("-inf"), HIDDEN, b_lse * -_LOG2E)


@gluon.jit
def _add(
    b_sum, b_s, b_base, i_m, i_n, queries, offset, c, MASKED: gl.constexpr, LAYOUT: gl.constexpr,
):  # fmt: skip
    """Return b_sum [64, BN] plus the weights that 64 queries from i_m on give keys from i_n on."""
    b_p = gl.exp2(gl.fma(b_s, c, gl.expand_dims(b_base, 1)))
    if MASKED:  # at the end: NaN of a row is none of a key that it does not see
        # Keys count from the first query's, which a step moves: their numbers stay in no register.
        o_n = i_n - offset - i_m + gl.arange(0, b_s.shape[1], gl.SliceLayout(0, LAYOUT))
        o_m = gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
        o_last = gl.where(o_m < queries - i_m, o_m, -2147483647)
        b_p = gl.where(gl.expand_dims(o_n, 0) <= gl.expand_dims(o_last, 1), b_p, 0.0)
    return b_sum + b_p


@gluon.jit
def _step(
    b_sum, b_s, b_base, i_m, stage, phase, shared, p_lse, i_n, b_none, queries, offset, c,
    I_G: gl.constexpr, STAGES: gl.constexpr, MASKED: gl.constexpr, LAYOUT: gl.constexpr,
):  # fmt: skip
    """Add the weights of the block at i_m, and issue the scores of the group's next one."""
    s_q, s_k, _, ready, free = shared
    before = stage
    stage, phase = _next(stage, phase, STAGES)
    i_next = i_m + GROUPS * ROWS
    b_next = _base(p_lse, i_next, queries, LAYOUT)
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    mbarrier.arrive(free.index(before * GROUPS + I_G))
    b_sum = _add(b_sum, b_s, b_base, i_m, i_n, queries, offset, c, MASKED, LAYOUT)
    slot = stage * GROUPS + I_G
    mbarrier.wait(ready.index(slot), phase)
    b_s = warpgroup_mma(s_q.index(slot), s_k.permute((1, 0)), b_none, use_acc=False, is_async=True)
    return b_sum, b_s, b_next, i_next, stage, phase


@gluon.jit
def _consume(
    shared, rows, I_G: gl.constexpr, BN: gl.constexpr, STAGES: gl.constexpr, CAUSAL: gl.constexpr,
):  # fmt: skip
    """Add the weights of every third block of queries and store their sums [BN]."""
    s_q, s_k, k_ready, ready, _ = shared
    lse, out, heads, queries, keys, offset, c = rows
    i_n = gl.program_id(0) * BN
    i_row = gl.program_id(2).to(gl.int64) * heads + gl.program_id(1)
    first, steps, masked = _span(i_n, queries, offset, BN, CAUSAL)
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BN, 16])
    b_none = gl.zeros([ROWS, BN], gl.float32, LAYOUT)
    b_sum = gl.zeros([ROWS, BN], gl.float32, LAYOUT)
    i_m = first + I_G * ROWS
    p_lse = lse + i_row * queries
    mbarrier.wait(k_ready.index(0), 0)
    b_base = _base(p_lse, i_m, queries, LAYOUT)
    mbarrier.wait(ready.index(I_G), 0)
    b_s = warpgroup_mma(s_q.index(I_G), s_k.permute((1, 0)), b_none, use_acc=False, is_async=True)
    stage, phase = 0, 0
    if CAUSAL:
        for _j in range(masked):
            b_sum, b_s, b_base, i_m, stage, phase = _step(
                b_sum, b_s, b_base, i_m, stage, phase, shared, p_lse, i_n, b_none, queries, offset,
                c, I_G, STAGES, True, LAYOUT,
            )  # fmt: skip
    for _j in range(masked, steps - 1):
        b_sum, b_s, b_base, i_m, stage, phase = _step(
            b_sum, b_s, b_base, i_m, stage, phase, shared, p_lse, i_n, b_none, queries, offset, c,
            I_G, STAGES, False, LAYOUT,
        )  # fmt: skip
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    b_sum = _add(b_sum, b_s, b_base, i_m, i_n, queries, offset, c, CAUSAL, LAYOUT)
    i_part = I_G * gl.num_programs(2).to(gl.int64) * heads + i_row
    o_n = i_n + gl.arange(0, BN, gl.SliceLayout(0, LAYOUT))
    gl.store(out + i_part * keys + o_n, gl.sum(b_sum, 0), mask=o_n < keys)


@gluon.jit(do_not_specialize=["heads", "queries", "keys", "offset", "group"])
def received(
    q, k, lse, out, heads, queries, keys, offset, group, c,
    D: gl.constexpr, BN: gl.constexpr, STAGES: gl.constexpr, REGISTERS: gl.constexpr,
    CAUSAL: gl.constexpr,
):  # fmt: skip
    """Sum the weights of BN keys of one head over all queries; where CAUSAL, offset ≥ 0.

    q, k: tensor descriptors of blocks [1, 1, 64 or BN, D]; lse [B, Hq, Nq] and out
    [GROUPS, B, Hq, Nk]: dense. c = scale · log2 e > 0. REGISTERS: of each thread of a group.
    """
    s_q = gl.allocate_shared_memory(q.dtype, [STAGES * GROUPS, 1, 1, ROWS, D], q.layout)
    s_k = gl.allocate_shared_memory(k.dtype, [1, 1, BN, D], k.layout)
    k_ready = gl.allocate_shared_memory(gl.int64, [1, 1], mbarrier.MBarrierLayout())
    ready = gl.allocate_shared_memory(gl.int64, [STAGES * GROUPS, 1], mbarrier.MBarrierLayout())
    free = gl.allocate_shared_memory(gl.int64, [STAGES * GROUPS, 1], mbarrier.MBarrierLayout())
    mbarrier.init(k_ready.index(0), count=1)
    for i in gl.static_range(STAGES * GROUPS):
        mbarrier.init(ready.index(i), count=1)
        mbarrier.init(free.index(i), count=1)
    fence_async_shared()

    FLAT: gl.constexpr = gl.NVMMASharedLayout(q.layout.swizzle_byte_width, 16, 2)
    x_q = s_q._reinterpret(q.dtype, [STAGES * GROUPS, ROWS, D], FLAT)
    x_k = s_k._reinterpret(k.dtype, [BN, D], FLAT)
    shared, copied = (x_q, x_k, k_ready, ready, free), (s_q, s_k, k_ready, ready, free)
    rows = (lse, out, heads, queries, keys, offset, c)
    gl.warp_specialize([
        (_consume, (shared, rows, 0, BN, STAGES, CAUSAL)),
        (_consume, (shared, rows, 1, BN, STAGES, CAUSAL)),
        (_consume, (shared, rows, 2, BN, STAGES, CAUSAL)),
        (_produce, (q, k, copied, queries, offset, group, BN, STAGES, CAUSAL)),
    ], [4, 4, 1], [REGISTERS, REGISTERS, 24])  # fmt: skip
