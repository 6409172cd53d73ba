"""How each implementation of attention computes odd values, against the definitions."""

from __future__ import annotations

import oracle
import torch

from attentropy import attention
from close import assert_close, score_bound

STATS = ("entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass", "top_key")
# Name: impl, statistics. The fused kernel of a CPU computes the entropy alone.
WAYS = {
    "reference": ("reference", STATS),
    "portable": ("portable", STATS),
    "native": ("native", STATS),
    "fused": ("portable", ("entropy",)),
    "fused without entropy": ("portable", ()),
    "triton": ("triton", STATS),
}
BLOCK = 64  # queries of one block where Triton is interpreted
# Rows of a score of −inf: Triton's kernels sum 0 · (−inf), so these of their statistics are NaN.
LOST_BY_TRITON = ("entropy", "varentropy")


def check(way, q, k, v, arguments):
    """Assert that one way computes what the definitions say."""
    impl, stats = WAYS[way]
    if "sinks" in arguments:
        stats = (*stats, "sink_prob")
    got = attention(q, k, v, stats=stats, impl=impl, **arguments)
    check_results(got, impl, stats, q, k, v, arguments)


def check_results(got, impl, stats, q, k, v, arguments):
    """Assert that results, as attributes, are what the definitions say."""
    wanted = oracle.attention(q, k, v, **arguments)
    limits = limits_of(q, k, v, arguments)
    for name in ("lse", *stats, "out"):
        mine, true = getattr(got, name).double(), wanted[name].double()
        if name == "out":
            true = true.to(v.dtype).double()  # its type may overflow
        if name == "top_key":
            _check_top_key(mine, wanted, limits["lse"])
            continue
        if impl == "triton":
            mine, true = _allowed(name, mine, true, got, v, wanted["pairs"])
        if name == "out":
            lost = _underflow(wanted, v) & mine.isnan() & true.isinf()
            mine, true = mine.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
        assert_close(mine, true, limits[name], name)


def _underflow(wanted, v):
    """Return which rows weigh a value of inf by what is 0 in float32: 0 · inf is NaN."""
    is_odd = (~v.isfinite().all(-1)).repeat_interleave(wanted["p"].shape[1] // v.shape[1], 1)
    tiny = wanted["pairs"] & is_odd[:, :, None] & (wanted["p"] < 1e-30)
    return tiny.any(-1, keepdim=True)


def limits_of(q, k, v, arguments):
    finite_q, finite_k = (x.double().nan_to_num(0.0, 0.0, 0.0) for x in (q, k))
    scores = score_bound(finite_q, finite_k, arguments.get("scale")) + 1e-5
    largest = float(v.double().abs().nan_to_num(0.0, 0.0, 0.0).max())
    rounding = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(v.dtype, 0.0)
    return {
        **dict.fromkeys(("lse", "max_logit", "entropy", "max_prob"), scores),
        "sink_mass": scores, "sink_prob": scores, "varentropy": scores * 20,
        "distance": scores * 100, "out": (4 * scores + rounding) * max(1.0, largest),
    }  # fmt: skip


def _check_top_key(mine, wanted, bound):
    true, p = wanted["top_key"], wanted["p"]
    assert torch.equal(mine == -1, true == -1)
    clear = (true >= 0) & (mine != true)
    theirs = p.gather(-1, mine.long().clamp_min(0)[..., None])[..., 0]
    assert (p.amax(-1) - theirs)[clear].le(2 * bound).all()


def _allowed(name, mine, true, got, v, pairs):
    """Return both without what Triton's kernels may lose (see docs/definitions.md)."""
    if name in LOST_BY_TRITON:
        lost = mine.isnan() & got.lse.isfinite()
        return mine.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
    if name == "out" and not v.isfinite().all():
        poisoned = mine.isnan()
        # A block of queries shares the blocks of keys of which one of them sees a part.
        group = mine.shape[1] // v.shape[1]
        is_odd = (~v.isfinite()).any(-1).repeat_interleave(group, 1)[:, :, None]
        shared = [
            (part.any(-1) & odd.any(-1)).expand(part.shape[:-1])
            for part, odd in zip(pairs.split(BLOCK, -1), is_odd.split(BLOCK, -1), strict=True)
        ]
        blocks = torch.stack(shared).any(0).split(BLOCK, 2)
        reach = torch.cat([one.any(2, keepdim=True).expand_as(one) for one in blocks], 2)
        lost = poisoned & ~true.isnan()
        assert not (lost & ~reach[..., None]).any()
        return mine.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
    return mine, true


def has_weights(q, k, v, arguments):
    """Return whether weights follow from lse: not where its rounding is nats."""
    odd_slopes = "slopes" in arguments and not arguments["slopes"].isfinite().all()
    return not odd_slopes and bool(limits_of(q, k, v, arguments)["lse"] < 0.1)
