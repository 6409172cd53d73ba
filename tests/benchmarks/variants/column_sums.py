"""Variant of the second sweep for Hopper in Gluon: what each key receives, Σ_i p_ij.

The keys of a program stay in shared memory while tiles of 64 queries stream past, one warp group
per tile. POLY computes every other exponential by a polynomial, since exponentials limit the loop.
It takes full attention only, and adds to `out`, which starts at zero.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

ROWS = gl.constexpr(64)
_LOG2E = gl.constexpr(1.4426950408889634)


@gluon.jit
def _exp2p(b_z):
    """2^z on the FMA pipe: z in (-126, 0], degree 5."""
    b_r = b_z + 12582912.0
    b_i = b_r.to(gl.int32, bitcast=True)
    b_f = b_z - (b_r - 12582912.0)
    b_p = gl.fma(b_f, 0.0013333558, 0.0096181291)
    b_p = gl.fma(b_f, b_p, 0.0555041087)
    b_p = gl.fma(b_f, b_p, 0.2402265070)
    b_p = gl.fma(b_f, b_p, 0.6931471806)
    b_p = gl.fma(b_f, b_p, 1.0)
    return (b_p.to(gl.int32, bitcast=True) + (b_i << 23)).to(gl.float32, bitcast=True)


@gluon.jit
def _produce(copies, GROUPS: gl.constexpr, BN: gl.constexpr, STAGES: gl.constexpr):
    q, k, s_q, s_k, k_ready, ready, free, i_b, i_h, i_kv, first, steps, i_n = copies
    mbarrier.expect(k_ready.index(0), k.block_type.nbytes)
    tma.async_copy_global_to_shared(k, [i_b, i_kv, i_n, 0], k_ready.index(0), s_k)
    stage, phase = 0, 1
    for j in range(steps):
        for i_g in gl.static_range(GROUPS):
            mbarrier.wait(free.index(stage * GROUPS + i_g), phase)
            mbarrier.expect(ready.index(stage * GROUPS + i_g), q.block_type.nbytes)
            tma.async_copy_global_to_shared(
                q,
                [i_b, i_h, first + (j * GROUPS + i_g) * ROWS, 0],
                ready.index(stage * GROUPS + i_g),
                s_q.index(stage * GROUPS + i_g),
            )
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1


@gluon.jit
def _add(b_sum, b_s, b_base, c, POLY: gl.constexpr):
    b_z = gl.fma(b_s, c, gl.expand_dims(b_base, 1))
    if POLY:
        b_x, b_y = gl.split(gl.reshape(b_z, [b_z.shape[0], b_z.shape[1] // 2, 2]))
        b_p = gl.reshape(gl.join(gl.exp2(b_x), _exp2p(gl.maximum(b_y, -126.0))), b_z.shape)
        b_p = gl.convert_layout(b_p, b_s.type.layout)
    else:
        b_p = gl.exp2(b_z)
    return b_sum + b_p


@gluon.jit
def _consume(
    shared,
    block,
    I_G: gl.constexpr,
    GROUPS: gl.constexpr,
    BN: gl.constexpr,
    STAGES: gl.constexpr,
    POLY: gl.constexpr,
):
    s_q, s_k, k_ready, ready, free, p_lse, p_out = shared
    first, steps, queries, keys, offset, i_n, c = block
    L: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BN, 16])
    b_none = gl.zeros([ROWS, BN], gl.float32, L)
    b_sum = gl.zeros([ROWS, BN], gl.float32, L)
    o_r = gl.arange(0, ROWS, gl.SliceLayout(1, L))
    mbarrier.wait(k_ready.index(0), 0)
    stage, phase = 0, 0
    at = first + I_G * ROWS
    o_m = at + o_r
    b_base = gl.load(p_lse + o_m, mask=o_m < queries, other=float("inf")) * -_LOG2E
    mbarrier.wait(ready.index(I_G), 0)
    b_s = warpgroup_mma(s_q.index(I_G), s_k.permute((1, 0)), b_none, use_acc=False, is_async=True)
    for j in range(1, steps):
        before = stage
        stage += 1
        if stage == STAGES:
            stage = 0
            phase ^= 1
        o_m += GROUPS * ROWS
        b_next = gl.load(p_lse + o_m, mask=o_m < queries, other=float("inf")) * -_LOG2E
        b_s = warpgroup_mma_wait(0, deps=[b_s])
        mbarrier.arrive(free.index(before * GROUPS + I_G))
        b_sum = _add(b_sum, b_s, b_base, c, POLY)
        mbarrier.wait(ready.index(stage * GROUPS + I_G), phase)
        b_s = warpgroup_mma(
            s_q.index(stage * GROUPS + I_G),
            s_k.permute((1, 0)),
            b_none,
            use_acc=False,
            is_async=True,
        )
        b_base = b_next
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    b_sum = _add(b_sum, b_s, b_base, c, POLY)
    o_n = i_n + gl.arange(0, BN, gl.SliceLayout(0, L))
    gl.atomic_add(p_out + o_n, gl.sum(b_sum, 0), mask=o_n < keys)


@gluon.jit(do_not_specialize=["heads", "queries", "keys", "offset", "group"])
def forward(
    q, k, lse, out, heads, queries, keys, offset, group, c, GROUPS: gl.constexpr, D: gl.constexpr,
    BN: gl.constexpr, STAGES: gl.constexpr, REGISTERS: gl.constexpr, POLY: gl.constexpr,
):  # fmt: skip
    i_n = gl.program_id(0) * BN
    i_h, i_b = gl.program_id(1), gl.program_id(2)
    first = 0
    steps = gl.cdiv(queries, GROUPS * ROWS)
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
    row = i_b.to(gl.int64) * heads + i_h
    shared = (x_q, x_k, k_ready, ready, free, lse + row * queries, out + row * keys)
    block = (first, steps, queries, keys, offset, i_n, c)
    copies = (q, k, s_q, s_k, k_ready, ready, free, i_b, i_h, i_h // group, first, steps, i_n)
    gl.warp_specialize(
        [
            (_consume, (shared, block, 0, GROUPS, BN, STAGES, POLY)),
            (_consume, (shared, block, 1, GROUPS, BN, STAGES, POLY)),
            (_consume, (shared, block, 2, GROUPS, BN, STAGES, POLY)),
            (_produce, (copies, GROUPS, BN, STAGES)),
        ],
        [4, 4, 1],
        [REGISTERS, REGISTERS, 24],
    )
