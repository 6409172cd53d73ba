"""Attention at length in a page: map, received attention, exact windows, spread and scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NotRequired, TypedDict

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.pack.budget import Budget
from attentropy.report.pack.encode import (
    EXACT_VALUES,
    PackedArray,
    pack,
    pack_shares,
)
from attentropy.report.pack.head_cells import HeadCells, pack_roles, pack_thumbnails, thumbnail_ways
from attentropy.report.read.maps import (
    SCORES,
    first_layer,
    has_map,
    has_spread,
    pool_tiles,
    score_names,
    score_threshold,
    tile_edges,
    window_names,
)

_RECEIVED = 2048  # columns
# Steps of the weights of a whole window, of which the first that takes at most `_WINDOW_BYTES` is
# used, or else the last. The first leaves three decimals right, the others two: an odd number of
# steps makes the hundredth that is nearest to a weight the one that is nearest to its step.
_STEPS = (0.001, 0.01 / 5, 0.01 / 3, 0.01)
_WINDOW_BYTES = 1_000_000


class PackedScores(TypedDict):
    """Scores [score, layer, head], and a uniform row's [score, layer]; NaN: not measured."""

    names: list[str]
    titles: list[str]
    thresholds: list[float | None]
    values: PackedArray
    uniform: PackedArray


class PackedSpread(PackedArray):
    """Mean, lowest and highest head per tile of `every` positions, [3, layer, tiles]."""

    every: int
    layer: int


class PackedMap(PackedArray):
    """Tiles of the map, with their edges; `pool` × `pool` tiles of the trace are one."""

    queries: list[int]
    keys: list[int]
    heads: list[int]
    pool: int


class PackedReceived(PackedArray):
    """Attention that keys receive, mean over `every` keys, [layer, head, tiles]."""

    every: int
    heads: list[int]


class PackedWindow(TypedDict):
    """Exact weights, [layer, head, key, query]: neighbours of a key's column deflate well.

    `shares`, in the same order, are what the keys add to a row's entropy.
    """

    name: str
    firstQuery: int
    firstKey: int
    heads: list[int]
    values: PackedArray
    shares: NotRequired[PackedArray]


class _Scores(TypedDict, total=False):
    scores: PackedScores


class _Spread(TypedDict, total=False):
    spread: PackedSpread


class _Map(TypedDict, total=False):
    map: PackedMap


class _Received(TypedDict, total=False):
    received: PackedReceived


class AtLength(_Scores, _Spread, _Map, _Received, HeadCells):
    """Everything of attention at length that the page holds."""

    windows: list[PackedWindow]


def nothing_at_length() -> AtLength:
    """Return the values of a page without attention at length."""
    return {"windows": []}


def pack_at_length(trace: Trace, attention: planes.AttentionPlanes | None) -> AtLength:
    """Pack everything, as it is in the trace."""
    packed = nothing_at_length()
    packed |= _scores(trace) or {}
    packed |= pack_roles(trace) or {}
    packed |= pack_thumbnails(trace, 1) or {}
    packed |= _spread(trace, attention) or {}
    if has_map(trace):
        packed |= _map(trace, 1) or {}
        packed |= _received(trace, _RECEIVED) or {}
    for name in window_names(trace):
        rows = trace.dataset.sizes[f"window_query{_number(name)}"]
        packed["windows"].append(_window(trace, name, rows, None))
    return packed


def pack_at_length_within(
    trace: Trace, attention: planes.AttentionPlanes | None, budget: Budget
) -> AtLength:
    """Pack what the budget buys."""
    packed = nothing_at_length()
    if scores := budget.first([partial(_scores, trace)], 0.1):
        packed |= scores
    if roles := budget.first([partial(pack_roles, trace)], 0.1):
        packed |= roles
    if pictures := budget.first(thumbnail_ways(trace), 0.15):
        packed |= pictures
    if spread := budget.first([partial(_spread, trace, attention)], 0.1):
        packed |= spread
    if has_map(trace):
        pools = (partial(_map, trace, pool) for pool in (1, 2, 4, 8, 16))
        if tiles := budget.first(pools, 0.2):
            packed |= tiles
        columns = (partial(_received, trace, columns) for columns in (_RECEIVED, 512, 128))
        if received := budget.first(columns, 0.05):
            packed |= received
    for name in window_names(trace):
        window = budget.first(_window_ways(trace, name), 0.15)
        packed["windows"] += [window] if window else []
    return packed


def _scores(trace: Trace) -> _Scores | None:
    """Pack the heads' scores; None where the trace has none."""
    names = score_names(trace)
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
            "thresholds": [score_threshold(name) for name in names],
            "values": pack(values.astype(np.float32)),
            "uniform": pack(uniform),
        }
    }


def _spread(trace: Trace, attention: planes.AttentionPlanes | None) -> _Spread | None:
    """Pack the spread of the heads over the prompt; None where it is not drawn."""
    if attention is None or not has_spread(trace):
        return None
    finite = np.isfinite(attention.heads)
    count = finite.sum(1)
    total = np.where(finite, attention.heads, 0).sum(1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    low = np.where(finite, attention.heads, np.inf).min(1)
    high = np.where(finite, attention.heads, -np.inf).max(1)
    low, high = (np.where(count > 0, edge, np.nan) for edge in (low, high))
    packed = pack(np.stack([mean, low, high]), 16)
    return {"spread": {**packed, "every": attention.step, "layer": first_layer(attention)}}


def _map(trace: Trace, pool: int) -> _Map | None:
    """Pack the map, `pool` × `pool` of its tiles as one; None for too few tiles to pool."""
    variable = trace.dataset["map"]
    queries, keys = variable.sizes["map_query"], variable.sizes["map_key"]
    if pool > 1 and min(queries, keys) < 2 * pool:
        return None
    n = trace.prompt_tokens
    values = np.stack([pool_tiles(trace, layer, pool) for layer in range(variable.sizes["layer"])])
    return {
        "map": {
            **pack(values, 16),
            "queries": tile_edges(trace["map_query"], pool, n),
            "keys": tile_edges(trace["map_key"], pool, n),
            "heads": [int(head) for head in trace["map_head"]],
            "pool": pool,
        }
    }


def _received(trace: Trace, columns: int) -> _Received | None:
    """Pack what keys receive in at most `columns` tiles; None where it was not recorded."""
    if "received" not in trace:
        return None
    values = trace["received"][..., : trace.prompt_tokens].astype(np.float32)
    layers, heads, n = values.shape
    size = planes.tile_size(n, columns)
    means = planes.make_tiles(values.reshape(layers * heads, n), size).mean
    packed = pack(means.reshape(layers, heads, -1), 16)
    return {
        "received": {
            **packed,
            "every": size,
            "heads": [int(head) for head in trace["received_head"]],
        }
    }


def _window_ways(trace: Trace, name: str) -> Iterator[partial[PackedWindow]]:
    """Yield ways to hold a window: all of it, in fewer bits, its last queries and keys alone."""
    rows = trace.dataset.sizes[f"window_query{_number(name)}"]
    yield partial(_window, trace, name, rows, 16)
    for part in (1, 2, 4, 8):
        if part == 1 or rows // part >= 8:
            yield partial(_window, trace, name, rows // part, 8)


def _window(trace: Trace, name: str, rows: int, bits: int | None) -> PackedWindow:
    """Pack the weights of a window's last `rows` queries over its last keys, for every head."""
    number = _number(name)
    queries, keys = trace[f"window_query{number}"], trace[f"window_key{number}"]
    columns = len(keys) if rows == len(queries) else min(len(keys), rows)
    part = np.s_[..., len(queries) - rows :, len(keys) - columns :]
    heads = trace[f"window_head{number}"] if f"window_head{number}" in trace else np.array([-1])
    packed: PackedWindow = {
        "name": name,
        "firstQuery": int(queries[-rows]),
        "firstKey": int(keys[-columns]),
        "heads": [int(head) for head in heads],
        "values": _weights(trace, by_key(trace.dataset[name][part].values), bits),
    }
    if name == "window" and "window_entropy" in trace:
        packed["shares"] = pack(by_key(trace.dataset["window_entropy"][part].values), bits)
    return packed


def by_key(weights: np.ndarray) -> np.ndarray:
    """Return weights [..., query, key] as [..., key, query], 0 where a key is not visible."""
    swapped: np.ndarray = np.nan_to_num(weights).swapaxes(-1, -2)
    return swapped


def _weights(trace: Trace, weights: np.ndarray, bits: int | None) -> PackedArray:
    """Pack exact weights: few as they are, many of a whole short prompt in steps as they are read.

    Next to the map of a long prompt they are coloured by their logarithm, for which steps would be
    too coarse.
    """
    if bits is not None or weights.size <= EXACT_VALUES or has_map(trace):
        return pack(weights, bits)
    packed = (pack_shares(weights, step) for step in _STEPS)
    small = (own for own in packed if len(own["data"]) <= _WINDOW_BYTES)
    return next(small, None) or pack_shares(weights, _STEPS[-1])


def _number(window: str) -> str:
    """Return the number in a window's name; "" for the automatic one."""
    return window.removeprefix("window")
