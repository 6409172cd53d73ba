"""What the page holds of attention at length: the map, what keys receive, exact windows, the
spread of the heads over the prompt, and each head's scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.pack.budget import Budget, Packed
from attentropy.report.pack.encode import pack
from attentropy.report.read.maps import (
    SCORES,
    edges,
    first_layer,
    has_map,
    has_spread,
    pooled,
    scored,
    threshold,
    window_names,
)

_RECEIVED = 2048  # columns


def whole(trace: Trace, attention: planes.Attention | None) -> dict[str, Any]:
    """Everything as it is in the trace."""
    found: dict[str, Any] = {}
    found |= _scores(trace) or {}
    found |= _spread(trace, attention) or {}
    if has_map(trace):
        found |= _map(trace, 1) or {}
        found |= _received(trace, _RECEIVED) or {}
    found["windows"] = [
        _window(trace, name, trace.dataset.sizes[f"window_query{name[6:]}"], None)
        for name in window_names(trace)
    ]
    return found


def reduced(trace: Trace, attention: planes.Attention | None, budget: Budget) -> dict[str, Any]:
    """What the budget buys of it."""
    found: dict[str, Any] = {}
    found |= budget.first([partial(_scores, trace)], 0.1) or {}
    found |= budget.first([partial(_spread, trace, attention)], 0.1) or {}
    if has_map(trace):
        found |= budget.first((partial(_map, trace, pool) for pool in (1, 2, 4, 8, 16)), 0.2) or {}
        ways = (partial(_received, trace, columns) for columns in (_RECEIVED, 512, 128))
        found |= budget.first(ways, 0.05) or {}
    found["windows"] = []
    for name in window_names(trace):
        window = budget.first(_windows(trace, name), 0.15)
        found["windows"] += [window] if window else []
    return found


def _scores(trace: Trace) -> Packed | None:
    """[score, layer, head] and what a uniform row would give, [score, layer]; NaN: not measured."""
    names = scored(trace)
    if not names:
        return None
    values = np.stack([trace[f"head_{name}"] for name in names])
    uniform = np.full(values.shape[:2], np.nan, np.float32)
    for i, name in enumerate(names):
        if f"uniform_{name}" in trace:
            uniform[i] = trace[f"uniform_{name}"]
    return {
        "scores": {
            "names": names,
            "titles": [SCORES[name] for name in names],
            "thresholds": [threshold(name) for name in names],
            "values": pack(values.astype(np.float32)),
            "uniform": pack(uniform),
        }
    }


def _spread(trace: Trace, attention: planes.Attention | None) -> Packed | None:
    """Mean, least and largest head of each tile of positions, [3, layer, tiles]."""
    if attention is None or not has_spread(trace):
        return None
    there = np.isfinite(attention.heads)
    count = there.sum(1)
    total = np.where(there, attention.heads, 0).sum(1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    low = np.where(there, attention.heads, np.inf).min(1)
    high = np.where(there, attention.heads, -np.inf).max(1)
    low, high = (np.where(count > 0, edge, np.nan) for edge in (low, high))
    return {
        "spread": pack(np.stack([mean, low, high]), 16)
        | {"every": attention.step, "layer": first_layer(attention)}
    }


def _map(trace: Trace, pool: int) -> Packed | None:
    """Tiles of the map, `pool` × `pool` of them as one; None where there are too few to pool."""
    variable = trace.dataset["map"]
    queries, keys = variable.sizes["map_query"], variable.sizes["map_key"]
    if pool > 1 and min(queries, keys) < 2 * pool:
        return None
    n = trace.dataset.sizes["position"]
    values = np.stack([pooled(trace, layer, pool) for layer in range(variable.sizes["layer"])])
    return {
        "map": pack(values, 16)
        | {
            "queries": edges(trace["map_query"], pool, n),
            "keys": edges(trace["map_key"], pool, n),
            "heads": [int(head) for head in trace["map_head"]],
            "pool": pool,
        }
    }


def _received(trace: Trace, columns: int) -> Packed | None:
    """What a key receives, mean over the keys of a tile, [layer, head, tiles]."""
    if "received" not in trace:
        return None
    values = trace["received"].astype(np.float32)
    layers, heads, n = values.shape
    size = planes.step(n, columns)
    means = planes.tiles(values.reshape(layers * heads, n), size).mean
    packed = pack(means.reshape(layers, heads, -1), 16)
    shown = [int(head) for head in trace["received_head"]]
    return {"received": packed | {"every": size, "heads": shown}}


def _windows(trace: Trace, name: str) -> Iterator[partial[Packed]]:
    """Ways to hold a window: whole, in fewer bits, its last queries and keys alone."""
    rows = trace.dataset.sizes[f"window_query{name[6:]}"]
    yield partial(_window, trace, name, rows, 16)
    for part in (1, 2, 4, 8):
        if part == 1 or rows // part >= 8:
            yield partial(_window, trace, name, rows // part, 8)


def _window(trace: Trace, name: str, rows: int, bits: int | None) -> Packed:
    """The weights of a window's last queries over its last keys, in every head that is kept."""
    number = name[6:]
    queries, keys = trace[f"window_query{number}"], trace[f"window_key{number}"]
    columns = len(keys) if rows == len(queries) else min(len(keys), rows)
    part = np.s_[..., len(queries) - rows :, len(keys) - columns :]
    heads = trace[f"window_head{number}"] if f"window_head{number}" in trace else np.array([-1])
    found: Packed = {
        "name": name,
        "firstQuery": int(queries[-rows]),
        "firstKey": int(keys[-columns]),
        "heads": [int(head) for head in heads],
        "values": pack(np.nan_to_num(trace.dataset[name][part].values), bits),
    }
    if name == "window" and "window_entropy" in trace:
        share = trace.dataset["window_entropy"][part].values
        found["shares"] = pack(np.nan_to_num(share), bits)
    return found
