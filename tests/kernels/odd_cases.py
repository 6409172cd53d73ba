"""Inputs with odd values or shapes, and how each implementation computes them.

A case is a function of no argument that returns q, k, v and the other arguments of `attention`.
"""

from __future__ import annotations

import math

import oracle
import torch

from attentropy import (
    attention,
    attention_at,
    attention_by_distance,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
    vocabulary,
)
from close import assert_close, score_bound

NAN, INF = math.nan, math.inf
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


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(queries=40, keys=40, heads=4, kv_heads=2, dim=32, batch=2):
    return (
        normal(batch, heads, queries, dim, seed=1), normal(batch, kv_heads, keys, dim, seed=2),
        normal(batch, kv_heads, keys, dim, seed=3),
    )  # fmt: skip


def _with(name, place, value, **arguments):
    """Return a case with `value` at a place (head, position, entry) of the first q, k or v."""

    def case():
        tensors = dict(zip("qkv", plain(), strict=True))
        tensors[name][0][place] = value
        return *tensors.values(), arguments

    return case


def _arguments(**arguments):
    return lambda: (*plain(), arguments)


def _scaled(name, factor, dtype=torch.float32, **arguments):
    def case():
        tensors = dict(zip("qkv", plain(), strict=True))
        tensors[name] = tensors[name] * factor
        return *(tensor.to(dtype) for tensor in tensors.values()), arguments

    return case


def _all_low():
    """Return rows whose every score is −inf."""
    q, k, v = plain()
    q[0, 0, 5] = INF
    return q, -k.abs(), v, {}


def _negative_zero():
    q, k, v = plain()
    return q * -0.0, k, v * -0.0, {}


def _top_key_of_nan():
    q, k, v = plain()
    k[:, :, 3] = 5 * q[:, :2, 10]
    k[0, 0, 20] = NAN
    return q, k, v, {}


SEGMENTS = torch.tensor([0] * 13 + [2**32] * 7 + [1] * 10 + [-(2**40)] * 10).expand(2, 40)
_SLOPES = torch.tensor([0.5, 0.1, 2.0, 0.0])

ODD_VALUES = {
    "NaN in a query": _with("q", (0, 7, 3), NAN),
    "NaN in the first query": _with("q", (0, 0, 3), NAN),
    "inf in a query": _with("q", (1, 7, 3), INF),
    "-inf in the last query": _with("q", (1, 39, 3), -INF),
    "NaN in a key": _with("k", (0, 7, 3), NAN),
    "NaN in the first key": _with("k", (0, 0, 3), NAN),
    "NaN in the last key": _with("k", (0, 39, 3), NAN),
    "inf in a key": _with("k", (1, 7, 3), INF),
    "inf in the first key": _with("k", (1, 0, 3), INF),
    "-inf in the last key": _with("k", (1, 39, 3), -INF),
    "NaN in a key out of the window": _with("k", (0, 7, 3), NAN, window=9),
    "inf in a key of another chunk": _with("k", (0, 7, 3), INF, chunk=10),
    "NaN in a key of another segment": _with("k", (0, 15, 3), NAN, segments=SEGMENTS),
    "NaN in padding": _with("k", (0, 2, 3), NAN, key_starts=torch.tensor([5, 0])),
    "NaN in a key, no order": _with("k", (0, 7, 3), NAN, causal=False),
    "NaN in a key, other heads with slopes": _with("k", (0, 7, 3), NAN, slopes=_SLOPES),
    "inf in a key under a softcap": _with("k", (0, 7, 3), INF, softcap=20.0),
    "all scores -inf": _all_low,
    "NaN later than the top key": _top_key_of_nan,
    "scale 0": _arguments(scale=0.0),
    "scale negative": _arguments(scale=-1.0),
    "scale tiny": _arguments(scale=1e-30),
    "scale large": _arguments(scale=1e4),
    "segments beyond int32": _arguments(segments=SEGMENTS),
    "a padded sequence without a key": _arguments(key_lengths=torch.tensor([0, 40])),
    "slopes NaN": _arguments(slopes=torch.tensor([0.5, NAN, 2.0, 0.0])),
    "slopes inf": _arguments(slopes=torch.tensor([0.5, INF, 2.0, -INF])),
    "sinks NaN and inf": _arguments(sinks=torch.tensor([NAN, INF, -INF, 0.0])),
    "negative zero": _negative_zero,
    "denormal": _scaled("q", 1e-39),
    "query far too large": _scaled("q", 1e18),
    "values near the end of float32": _scaled("v", 1e37),
    "values near the end of float16": _scaled("v", 1e4, torch.float16),
    "values beyond float16": _scaled("v", 1e5, torch.float16),
    "keys beyond float16": _scaled("k", 3e4, torch.float16),
}
ODD_WEIGHTS = {
    "NaN in a value": _with("v", (0, 7, 3), NAN),
    "NaN in the last value": _with("v", (0, 39, 3), NAN),
    "inf in the last value": _with("v", (1, 39, 3), INF),
    "-inf in a value out of the window": _with("v", (1, 7, 3), -INF, window=9),
    "NaN in a value of another segment": _with("v", (0, 15, 3), NAN, segments=SEGMENTS),
    "both infinities in values": _with("v", (1, slice(3, 9), 3), torch.tensor([INF, -INF] * 3)),
}
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
    limits = _limits(q, k, v, arguments)
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


def _limits(q, k, v, arguments):
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
    return not odd_slopes and bool(_limits(q, k, v, arguments)["lse"] < 0.1)


def check_sweep(impl, q, k, v, arguments):
    """Assert that the second sweep by `impl` sums the weights that the definitions give."""
    arguments = {name: value for name, value in arguments.items() if name != "sinks"}
    wanted = oracle.attention(q, k, v, **arguments)
    lse = wanted["lse"].to(torch.float32)
    p, pairs = wanted["p"], wanted["pairs"]
    queries, keys = p.shape[2:]
    h = oracle.contributions(p)
    bound = 1e-4 + 3 * _limits(q, k, v, arguments)["lse"]
    rows, cols = (queries // 4, queries), (0, max(1, keys * 3 // 4))
    at = (torch.arange(queries) * 7 % (keys + 2) - 1).expand(p.shape[0], -1)
    own = at.clamp(0, keys - 1)[:, None, :, None].expand(-1, p.shape[1], -1, 1)
    inside = ((at >= 0) & (at < keys))[:, None]
    call = {"impl": impl, **arguments}
    results = {
        "map": (attention_map(q, k, lse, tile=(7, 5), **call), oracle.tiles(p, (7, 5), False)),
        "mean map": (
            attention_map(q, k, lse, tile=9, values="entropy", heads="mean", **call),
            oracle.tiles(h, (9, 9), True),
        ),
        "received": (attention_received(q, k, lse, **call), p.sum(2)),
        "window": (
            attention_window(q, k, lse, rows, cols, **call), p[:, :, slice(*rows), slice(*cols)]
        ),
        "nats": (
            attention_window(q, k, lse, rows, cols, values="entropy", **call),
            h[:, :, slice(*rows), slice(*cols)],
        ),
        "at": (
            attention_at(q, k, lse, at, **call),
            torch.where(inside, p.gather(-1, own)[..., 0], 0.0),
        ),
        "recent": (attention_recent(q, k, lse, 3, **call), oracle.recent(p, pairs, 3)),
        "by distance": (
            attention_by_distance(q, k, lse, **call), oracle.by_distance(p, arguments)
        ),
    }  # fmt: skip
    for name, (got, true) in results.items():
        if impl == "triton" and name in ("mean map", "nats"):
            lost = got.isnan() & true.isfinite()  # 0 · (−inf), of a score of −inf alone
            assert not (lost.any() and not _has_low(q, k, arguments))
            got, true = got.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
        assert_close(
            got, true, bound * max(1, queries if name in ("received", "by distance") else 1), name
        )


def _has_low(q, k, arguments):
    group = q.shape[1] // k.shape[1]
    s = q.double() @ k.double().repeat_interleave(group, 1).transpose(-1, -2)
    return bool(s.isinf().any())


def check_vocabulary(impl, hidden, unembedding, **arguments):
    """Assert that one implementation reads rows of logits as the definitions say."""
    got = vocabulary(hidden, unembedding, impl=impl, **arguments)
    wanted = oracle.vocabulary(hidden, unembedding, **arguments)
    scale = abs(arguments.get("scale", 1.0))
    sizes = [x.double().abs().nan_to_num(0.0, 0.0, 0.0) for x in (hidden, unembedding)]
    largest = (sizes[0] @ sizes[1].T).max()
    if arguments.get("bias") is not None:
        largest = largest + arguments["bias"].double().abs().nan_to_num(0.0, 0.0, 0.0).max()
    bound = 2e-4 + 2**-19 * scale * float(largest)
    bias = arguments.get("bias", hidden)
    is_finite = not any((x == INF).any() for x in (hidden.abs(), unembedding.abs(), bias))
    if impl == "triton" and not is_finite and (bias == -INF).any():
        return  # a token that the bias hides stays hidden, also where its product is inf
    for name, true in wanted.items():
        mine, true = getattr(got, name).double(), true.double()
        if impl == "triton" and name in ("entropy", "kl"):  # 0 · (−inf), of inf in a logit
            lost = mine.isnan() & true.isfinite()
            assert not (lost.any() and is_finite)
            mine, true = mine.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
        if not mine.is_floating_point() or name in ("top_ids", "target_rank"):
            _check_ids(name, mine, true, got, wanted)
        else:
            assert_close(mine, true, bound, name)


def _check_ids(name, mine, true, got, wanted):
    """Assert that ids or ranks agree wherever the logits of neighbours are far apart."""
    near = mine != true
    if name == "top_ids":
        gap = (got.top_logprobs.double() - wanted["top_logprobs"]).abs()
        assert not (near & ~(gap < 1e-3) & wanted["top_logprobs"].isfinite()).any()
    else:
        assert not (near & ((mine - true).abs() > 1)).any()
