"""Inputs with odd values or shapes.

A case is a function of no argument that returns q, k, v and the other arguments of `attention`.
"""

from __future__ import annotations

import math

import torch

NAN, INF = math.nan, math.inf


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
