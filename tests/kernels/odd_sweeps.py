"""How each implementation sums weights of odd values in a second sweep, against the definitions."""

from __future__ import annotations

import oracle
import torch
from odd_attention import limits_of

from attentropy import (
    attention_at,
    attention_by_distance,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
)
from close import assert_close


def check_sweep(impl, q, k, v, arguments):
    """Assert that the second sweep by `impl` sums the weights that the definitions give."""
    arguments = {name: value for name, value in arguments.items() if name != "sinks"}
    wanted = oracle.attention(q, k, v, **arguments)
    lse = wanted["lse"].to(torch.float32)
    p, pairs = wanted["p"], wanted["pairs"]
    queries, keys = p.shape[2:]
    h = oracle.contributions(p)
    bound = 1e-4 + 3 * limits_of(q, k, v, arguments)["lse"]
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
