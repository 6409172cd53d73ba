"""Top k and rank of a tile of logits in Triton: value and id packed into one sortable key.

A key of 64 bits orders by value and, among equal values, by the lower id first, so a maximum over
keys needs no second comparison.
"""

from __future__ import annotations

import triton
import triton.language as tl

from attentropy.kernels.common.triton_scores import HIDDEN

MAX_INT32 = tl.constexpr(2147483647)
MAX_INT64 = tl.constexpr(9223372036854775807)
_TINY = tl.constexpr(1.1754943508222875e-38)  # the smallest number that hardware never flushes to 0


@triton.jit
def pack_key(b_value, b_id):
    """Return keys of 64 bits, ordered by value and, among equal values, by the lower id first."""
    b_bits = tl.where(b_value == 0, 0.0, b_value).to(tl.int32, bitcast=True)  # −0 equals 0
    b_bits = b_bits ^ ((b_bits >> 31) & MAX_INT32)
    return (b_bits.to(tl.int64) << 32) | (b_id ^ MAX_INT32).to(tl.int64)


@triton.jit
def key_value(b_key):
    """Return the value in a packed key."""
    b_bits = (b_key >> 32).to(tl.int32)
    return (b_bits ^ ((b_bits >> 31) & MAX_INT32)).to(tl.float32, bitcast=True)


@triton.jit
def update_top(b_keys, b_least, b_s, b_high, o_v):
    """Add a tile b_s [BM, BN] with row maxima b_high to the best keys [BM, BK], worst b_least.

    Each round adds one entry to every row that the tile still improves: k rounds in the first tile,
    one or two in later ones. Ids rise along the sweep, so an entry equal to the worst of the best
    ranks after it.
    """
    m_new = b_high > b_least  # [BM]
    while tl.max(m_new.to(tl.int32), 0) > 0:
        b_at = tl.min(tl.where(b_s == b_high[:, None], o_v[None, :], MAX_INT32), 1)  # [BM]
        b_key = pack_key(b_high, b_at)
        b_worst = tl.min(b_keys, 1)
        m_swap = (b_keys == b_worst[:, None]) & m_new[:, None]
        b_keys = tl.where(m_swap, b_key[:, None], b_keys)
        b_least = key_value(tl.min(b_keys, 1))
        b_s = tl.where(o_v[None, :] == b_at[:, None], HIDDEN, b_s)
        b_high = tl.max(b_s, 1)
        m_new = b_high > b_least
    return b_keys, b_least


@triton.jit
def count_before(b_s, b_target, b_own, first, o_v, BN: tl.constexpr):
    """Return how many entries of a tile [BM, BN] rank before the targets, [BM].

    The targets have the ids b_own [BM] and the logits b_target [BM]. Equal entries rank before a
    target of a later tile and after one of an earlier tile, so one comparison is enough: with the
    target's logit, or with the next larger number. The target itself never counts, even if
    `target_logits` rounded its logit differently.
    """
    # A target of −inf is no lower than the entries beyond the vocabulary, which never count.
    b_target = tl.where(b_target == 0, 0.0, tl.maximum(b_target, HIDDEN))
    b_bits = b_target.to(tl.int32, bitcast=True)
    b_next = (b_bits + tl.where(b_bits < 0, -1, 1)).to(tl.float32, bitcast=True)
    b_next = tl.where(b_target == 0, _TINY, b_next)
    b_edge = tl.where(b_own >= first + BN, b_target, b_next)
    b_count = tl.sum((b_s >= b_edge[:, None]).to(tl.int32), 1)
    m_here = (b_own >= first) & (b_own < first + BN)
    if tl.max(m_here.to(tl.int32), 0) > 0:
        m_tie = (b_s == b_target[:, None]) & (o_v[None, :] < b_own[:, None]) & m_here[:, None]
        m_self = (b_s >= b_edge[:, None]) & (o_v[None, :] == b_own[:, None])
        b_count += tl.sum(m_tie.to(tl.int32) - m_self.to(tl.int32), 1)
    return b_count
