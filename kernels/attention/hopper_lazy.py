"""Attention with every statistic for Hopper in Gluon: sums move only when a maximum rises by 8.

The schedule is that of `hopper_kernel`: one warp copies tiles, each warp group takes 64 rows
through them. Two things are different. Sums are shifted by a maximum that is up to 8 (base 2)
behind the true one, so that most tiles rescale nothing; and m, l, t and all other sums stay within
a thread, [64, LANES] each, so that the loop has no shuffle. One barrier per tile says that its keys
and the values of the tile before are there, one that both were used.

Keys count from the first one that is not padding, so padding moves the copies and needs no mask.
Windows, chunks, segments, softcap and slopes are left to `triton_kernel`.
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

from attentropy.kernels.attention.hopper_assembly import RAISE, RAISE_CONSTRAINTS, rescaled
from attentropy.kernels.attention.hopper_constants import LANES, RISE, ROWS, SINK_KEYS
from attentropy.kernels.attention.hopper_kernel import parts, visible_scores
from attentropy.kernels.attention.hopper_results import first_weights, store_results
from attentropy.kernels.common.triton_online import FLOOR


@gluon.jit
def _next(stage, phase, STAGES: gl.constexpr):
    """Return the next stage of the ring, and the phase of its barriers."""
    stage += 1
    if stage == STAGES:
        stage = 0
        phase ^= 1
    return stage, phase


@gluon.jit
def _produce(
    copies, GROUPS: gl.constexpr, BN: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    """Copy the block's queries, then tiles from the last to the first: keys one ahead of values."""
    q, k, v, s_q, s_k, s_v, barriers, i_b, i_h, i_kv, first, lo, tiles = copies
    q_ready, ready, free = barriers
    row = lo + (tiles - 1) * BN
    for i_g in gl.static_range(GROUPS):
        mbarrier.expect(q_ready.index(i_g), q.block_type.nbytes)
        tma.async_copy_global_to_shared(
            q, [i_b, i_h, first + i_g * ROWS, 0], q_ready.index(i_g), s_q.index(i_g)
        )
        if i_g == 0:
            mbarrier.expect(ready.index(0), k.block_type.nbytes)
            tma.async_copy_global_to_shared(k, [i_b, i_kv, row, 0], ready.index(0), s_k.index(0))
    stage, phase = 0, 1
    for _j in range(1, tiles):
        before = stage
        stage, phase = _next(stage, phase, STAGES)
        mbarrier.wait(free.index(stage), phase)
        mbarrier.expect(ready.index(stage), k.block_type.nbytes + v.block_type.nbytes)
        tma.async_copy_global_to_shared(
            k, [i_b, i_kv, row - BN, 0], ready.index(stage), s_k.index(stage)
        )
        tma.async_copy_global_to_shared(
            v, [i_b, i_kv, row, 0], ready.index(stage), s_v.index(before)
        )
        row -= BN
    before = stage
    stage, phase = _next(stage, phase, STAGES)
    mbarrier.wait(free.index(stage), phase)
    mbarrier.expect(ready.index(stage), v.block_type.nbytes)
    tma.async_copy_global_to_shared(v, [i_b, i_kv, row, 0], ready.index(stage), s_v.index(before))


@gluon.jit
def _softmax(
    b_s, sums, far_from, j, c, ENTROPY: gl.constexpr, VARENTROPY: gl.constexpr,
    DISTANCE: gl.constexpr, HIGHEST: gl.constexpr, TOP_KEY: gl.constexpr,
):  # fmt: skip
    """Add tile j of scores b_s [64, BN]; return the sums, its weights [64, BN] and the factor.

    sums: m, l, t, u as in `online_step`, then far = Σ p (n − first), the highest score and the last
    tile that has it, all [64, LANES]. far_from: the tile's first key minus the block's first query.
    """
    b_m, b_l, b_t, b_u, b_far, b_high, b_tile = sums
    b_x = parts(b_s, LANES)
    b_top = gl.max(b_x, 1)
    if HIGHEST:
        if TOP_KEY:  # tiles come from the last to the first: of equal scores the lowest key's stays
            b_tile = gl.where(b_top >= b_high, j, b_tile)
        b_high = gl.maximum(b_high, b_top)
    b_m_old, b_l_old, b_t_old = b_m, b_l, b_t
    b_m, b_l, b_t, b_factor = gl.inline_asm_elementwise(
        RAISE, RAISE_CONSTRAINTS, [b_top, b_m, b_l, b_t, RISE / c, c],
        dtype=(gl.float32, gl.float32, gl.float32, gl.float32), is_pure=True, pack=4,
    )  # fmt: skip
    b_z = gl.fma(b_x, c, -gl.expand_dims(b_m * c, 1))
    b_p = gl.exp2(b_z)
    if VARENTROPY:
        b_near = gl.maximum((b_m_old - b_m) * c, -1e4)  # below, the factor is 0, δ² may overflow
        b_pz = b_p * b_z
        b_u = b_factor * (b_u + b_near * (2 * b_t_old + b_near * b_l_old)) + gl.sum(b_pz * b_z, 1)
        b_t = b_t + gl.sum(b_pz, 1)
    elif ENTROPY:
        b_t = b_t + gl.sum(b_p * b_z, 1)
    b_sum = gl.sum(b_p, 1)
    b_l = b_l + b_sum
    if DISTANCE:
        P: gl.constexpr = b_p.type.layout
        o_part = gl.arange(0, b_p.shape[1], gl.SliceLayout(0, gl.SliceLayout(2, P)))
        b_ahead = gl.expand_dims(gl.expand_dims((o_part * LANES).to(gl.float32), 0), 2)
        b_far = b_factor * b_far + b_sum * far_from + gl.sum(b_p * b_ahead, 1)
    b_p = gl.convert_layout(gl.reshape(b_p, b_s.shape), b_s.type.layout)
    return (b_m, b_l, b_t, b_u, b_far, b_high, b_tile), b_p, b_factor


@gluon.jit
def _step(
    j, before, phase, b_acc, sums, b_p, inputs, barriers, b_none, o_a, tiles, keys, first, c,
    BN: gl.constexpr, STAGES: gl.constexpr, MASKED: gl.constexpr, CAUSAL: gl.constexpr,
    ENTROPY: gl.constexpr, VARENTROPY: gl.constexpr, DISTANCE: gl.constexpr,
    HIGHEST: gl.constexpr, TOP_KEY: gl.constexpr, LAYOUT: gl.constexpr, WEIGHTS: gl.constexpr,
):  # fmt: skip
    """Take the scores of tile j, counted from the last tile, and the values of tile j − 1."""
    s_q, s_k, s_v = inputs
    _, ready, free = barriers
    stage, phase = _next(before, phase, STAGES)
    mbarrier.wait(ready.index(stage), phase)
    b_s = warpgroup_mma(s_q, s_k.index(stage).permute((1, 0)), b_none, use_acc=False, is_async=True)
    b_acc = warpgroup_mma(b_p, s_v.index(before), b_acc, is_async=True)
    b_s = warpgroup_mma_wait(1, deps=[b_s])
    i_n = (tiles - 1 - j) * BN
    b_s = visible_scores(b_s, o_a, i_n, keys, MASKED, CAUSAL, LAYOUT)
    sums, b_next, b_factor = _softmax(
        b_s, sums, (i_n - first).to(gl.float32), j, c, ENTROPY, VARENTROPY, DISTANCE, HIGHEST,
        TOP_KEY,
    )  # fmt: skip
    b_m, b_l, b_t, b_u, b_far, b_high, b_tile = sums
    b_next = gl.convert_layout(b_next.to(s_v.dtype), WEIGHTS)
    b_acc, b_p, b_next, b_l, b_t = warpgroup_mma_wait(0, deps=[b_acc, b_p, b_next, b_l, b_t])
    mbarrier.arrive(free.index(stage))
    sums = (b_m, b_l, b_t, b_u, b_far, b_high, b_tile)
    return stage, phase, rescaled(b_acc, b_factor), sums, b_next


@gluon.jit
def _consume(
    inputs, barriers, outputs, block, I_G: gl.constexpr, D: gl.constexpr, BN: gl.constexpr,
    STAGES: gl.constexpr, CAUSAL: gl.constexpr, DIM: gl.constexpr,
):  # fmt: skip
    """Take group I_G of the block's rows through all tiles and store its results.

    The block's rows begin at query `first` and at row i_row of all heads; query m is at position
    offset + m. The last `masked` tiles have keys that some row may not see. Keys and positions
    count from the first key that is not padding.
    """
    s_q, s_k, s_v = inputs
    q_ready, ready, free = barriers
    _, _, stats, _ = outputs
    entropy, max_prob, max_logit, varentropy, distance, sink_mass, top_key, _ = stats
    queries, keys, early, offset, i_h, i_row, first, tiles, masked, c = block
    VARENTROPY: gl.constexpr = varentropy is not None
    DISTANCE: gl.constexpr = distance is not None
    TOP_KEY: gl.constexpr = top_key is not None
    HIGHEST: gl.constexpr = TOP_KEY or (max_prob is not None) or (max_logit is not None)
    ENTROPY: gl.constexpr = (entropy is not None) or VARENTROPY
    LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BN, 16])
    OUTPUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, D, 16])
    WEIGHTS: gl.constexpr = gl.DotOperandLayout(0, OUTPUT, 2)

    o_m = first + I_G * ROWS + gl.arange(0, ROWS, gl.SliceLayout(1, LAYOUT))
    o_a = offset + o_m
    inputs = (s_q.index(I_G), s_k, s_v)
    b_none = gl.zeros([ROWS, BN], gl.float32, LAYOUT)
    b_l = gl.sum(parts(b_none, LANES), 1)
    b_m = b_l + FLOOR  # zeros, in the layout of such sums
    sums = (b_m, b_l, b_l, b_l, b_l, b_m, gl.full_like(b_l, -1, dtype=gl.int32))
    b_acc = gl.zeros([ROWS, D], gl.float32, OUTPUT)

    mbarrier.wait(q_ready.index(I_G), 0)
    mbarrier.wait(ready.index(0), 0)
    b_s = warpgroup_mma(
        s_q.index(I_G), s_k.index(0).permute((1, 0)), b_none, use_acc=False, is_async=True
    )
    b_s = warpgroup_mma_wait(0, deps=[b_s])
    mbarrier.arrive(free.index(0))
    i_n = (tiles - 1) * BN
    b_s = visible_scores(b_s, o_a, i_n, keys, True, CAUSAL, LAYOUT)
    sums, b_p, _ = _softmax(
        b_s, sums, (i_n - first).to(gl.float32), 0, c, ENTROPY, VARENTROPY, DISTANCE, HIGHEST,
        TOP_KEY,
    )  # fmt: skip
    b_p = gl.convert_layout(b_p.to(s_v.dtype), WEIGHTS)
    last, phase = 0, 0
    for j in range(1, masked):
        last, phase, b_acc, sums, b_p = _step(
            j, last, phase, b_acc, sums, b_p, inputs, barriers, b_none, o_a, tiles, keys, first, c,
            BN, STAGES, True, CAUSAL, ENTROPY, VARENTROPY, DISTANCE, HIGHEST, TOP_KEY, LAYOUT,
            WEIGHTS,
        )  # fmt: skip
    for j in range(masked, tiles):
        last, phase, b_acc, sums, b_p = _step(
            j, last, phase, b_acc, sums, b_p, inputs, barriers, b_none, o_a, tiles, keys, first, c,
            BN, STAGES, False, CAUSAL, ENTROPY, VARENTROPY, DISTANCE, HIGHEST, TOP_KEY, LAYOUT,
            WEIGHTS,
        )  # fmt: skip
    stage, phase = _next(last, phase, STAGES)
    mbarrier.wait(ready.index(stage), phase)
    b_acc = warpgroup_mma(b_p, s_v.index(last), b_acc, is_async=True)
    b_acc = warpgroup_mma_wait(0, deps=[b_acc])

    b_early = sums[1]
    if sink_mass is not None:  # the tile copied last has the first keys, and is still there
        b_early = first_weights(
            s_q.index(I_G), s_k.index(last).slice(0, 16, 0), sums[0], o_a, keys, early, c, CAUSAL
        )
    store_results(
        b_acc, sums, b_early, outputs, o_m, o_a, queries, keys, i_h, i_row + I_G * ROWS, first,
        tiles, c, CAUSAL, DIM, LAYOUT, OUTPUT,
    )  # fmt: skip


@gluon.jit(do_not_specialize=["heads", "queries", "keys", "offset", "group"])
def forward(
    q, k, v, out, lse, entropy, max_prob, max_logit, varentropy, distance, sink_mass, top_key,
    sink_prob, starts, lengths, sinks, heads, queries, keys, offset, group, c,
    GROUPS: gl.constexpr, D: gl.constexpr, DIM: gl.constexpr, BN: gl.constexpr,
    STAGES: gl.constexpr, REGISTERS: gl.constexpr, CAUSAL: gl.constexpr,
):  # fmt: skip
    """Compute 64 · GROUPS (2 or 3) queries of one head.

    q, k, v: tensor descriptors of blocks [1, 1, 64 or BN, D], of which DIM entries are the head's;
    out [B, Hq, Nq, DIM], lse and the statistics [B, Hq, Nq]: dense, the latter or None. top_key
    gets what `hopper_top_key` reads. starts, lengths [B], sinks [Hq] or None; v is finite in
    padding. c = scale · log2 e > 0. REGISTERS: of each thread of a group.
    """
    # The last rows of a causal sequence take longest: start them first.
    first = (gl.num_programs(0) - 1 - gl.program_id(0)) * (GROUPS * ROWS)
    i_h, i_b = gl.program_id(1), gl.program_id(2)
    start = keys * 0
    if starts is not None:
        start = gl.load(starts + i_b)
    if lengths is not None:
        keys = gl.minimum(keys, start + gl.load(lengths + i_b))
    lo = gl.maximum(start, 0)
    early = SINK_KEYS + gl.minimum(start, 0)
    keys = gl.maximum(keys - lo, 0)  # from here on counted from `lo`, and so are positions
    offset -= lo
    hi, full = keys, keys  # some row of the block sees keys 0 … hi−1, every row 0 … full−1
    if CAUSAL:
        hi = gl.minimum(keys, offset + gl.minimum(queries, first + GROUPS * ROWS))
        full = gl.minimum(keys, gl.maximum(offset + first + 1, 0))
    tiles = gl.cdiv(gl.maximum(hi, 1), BN)  # a row without a key still has a result
    masked = gl.maximum(tiles - full // BN, 1)
    i_row = (i_b.to(gl.int64) * heads + i_h) * queries + first

    s_q = gl.allocate_shared_memory(q.dtype, [GROUPS, 1, 1, ROWS, D], q.layout)
    s_k = gl.allocate_shared_memory(k.dtype, [STAGES, 1, 1, BN, D], k.layout)
    s_v = gl.allocate_shared_memory(v.dtype, [STAGES, 1, 1, BN, D], v.layout)
    q_ready = gl.allocate_shared_memory(gl.int64, [GROUPS, 1], mbarrier.MBarrierLayout())
    ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(GROUPS):
        mbarrier.init(q_ready.index(i), count=1)
    for i in gl.static_range(STAGES):
        mbarrier.init(ready.index(i), count=1)
        mbarrier.init(free.index(i), count=GROUPS)
    fence_async_shared()

    FLAT: gl.constexpr = gl.NVMMASharedLayout(q.layout.swizzle_byte_width, 16, 2)
    x_q = s_q._reinterpret(q.dtype, [GROUPS, ROWS, D], FLAT)
    x_k = s_k._reinterpret(k.dtype, [STAGES, BN, D], FLAT)
    x_v = s_v._reinterpret(v.dtype, [STAGES, BN, D], FLAT)
    inputs = (x_q, x_k, x_v)
    barriers = (q_ready, ready, free)
    stats = (entropy, max_prob, max_logit, varentropy, distance, sink_mass, top_key, sink_prob)
    outputs = (out, lse, stats, sinks)
    block = (queries, keys, early, offset, i_h, i_row, first, tiles, masked, c)
    copies = (q, k, v, s_q, s_k, s_v, barriers, i_b, i_h, i_h // group, first, lo, tiles)
    if GROUPS == 2:
        gl.warp_specialize([
            (_consume, (inputs, barriers, outputs, block, 0, D, BN, STAGES, CAUSAL, DIM)),
            (_consume, (inputs, barriers, outputs, block, 1, D, BN, STAGES, CAUSAL, DIM)),
            (_produce, (copies, GROUPS, BN, STAGES)),
        ], [4, 1], [REGISTERS, 24])  # fmt: skip
    else:
        gl.warp_specialize([
            (_consume, (inputs, barriers, outputs, block, 0, D, BN, STAGES, CAUSAL, DIM)),
            (_consume, (inputs, barriers, outputs, block, 1, D, BN, STAGES, CAUSAL, DIM)),
            (_consume, (inputs, barriers, outputs, block, 2, D, BN, STAGES, CAUSAL, DIM)),
            (_produce, (copies, GROUPS, BN, STAGES)),
        ], [4, 4, 1], [REGISTERS, REGISTERS, 24])  # fmt: skip
