"""Exact attention weights in a figure: which window holds them, and the inset made of them.

The page's script makes the same inset when the selection moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.heatmap_data import Rows, grid
from attentropy.report.read.maps import window_names
from attentropy.report.scale import Scale
from attentropy.report.text import ends, short

_QUERIES, _KEYS = 3, 6
_ROOM = 36  # pixels that a weight takes


@dataclass(frozen=True)
class Window:
    """Weights [query, key] of a layer from the first query and the first key on, NaN where missing;
    `mean`: over heads, and not those of the one that was asked for."""

    values: np.ndarray
    query: int
    key: int
    mean: bool


def window(trace: Trace, name: str, entry: int, head: int | None) -> Window:
    """One of `window_names` in a layer: of the head numbered `head` where the window holds
    it, else the mean over heads."""
    number = name[6:]
    values = trace.dataset[name][entry].values.astype(np.float32, copy=False)
    names = trace[f"window_head{number}"] if f"window_head{number}" in trace else np.array([-1])
    queries, keys = (int(trace[f"window_{part}{number}"][0]) for part in ("query", "key"))
    held = np.flatnonzero(names == head) if head is not None and head >= 0 else np.array([], int)
    if held.size:
        return Window(values[held[0]], queries, keys, False)
    there = np.isfinite(values)
    mean = np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1)
    return Window(np.where(there.any(0), mean, np.nan), queries, keys, True)


@dataclass(frozen=True)
class Inset:
    """Weights [query, key] of `queries` over `keys`, both positions ascending."""

    weights: np.ndarray
    queries: list[int]
    keys: list[int]
    mean: bool


def inset(trace: Trace, column: int, entry: int, head: int | None) -> Inset | None:
    """The weights of a position and of the two before it over the keys that it attends to most;
    None where no window holds its weights."""
    for name in window_names(trace):
        first, count = (
            int(trace[f"window_query{name[6:]}"][0]),
            len(trace[f"window_query{name[6:]}"]),
        )
        from_key = int(trace[f"window_key{name[6:]}"][0])
        if first <= column < first + count and column >= from_key:
            found = window(trace, name, entry, head)
            break
    else:
        return None
    queries = [q for q in range(column - _QUERIES + 1, column + 1) if q >= found.query]
    visible = min(column + 1 - found.key, found.values.shape[1])
    row = np.nan_to_num(found.values[column - found.query, :visible])
    best = np.sort(np.lexsort((np.arange(visible), -row))[:_KEYS])
    rows = found.values[np.array(queries) - found.query]
    return Inset(rows[:, best], queries, [int(found.key + at) for at in best], found.mean)


def fitting(shown: Inset, pixels: int) -> Inset:
    """The last of its queries, as many as have room for their weights in an inset of `pixels`."""
    few = max(1, pixels // _ROOM)
    return replace(shown, weights=shown.weights[-few:], queries=shown.queries[-few:])


def datasets(trace: Trace, shown: Inset, title: str, pixels: int) -> dict[str, Rows]:
    """The datasets of `heatmap` that the inset, `pixels` wide, is drawn from: keys downwards,
    queries to the right."""
    letters = int(pixels / len(shown.queries) / 7.2)
    values = shown.weights.T[::-1]  # [key, query], row 0 at the bottom: the last key
    texts = [[f"{value:.2f}" if np.isfinite(value) else "" for value in row] for row in values]
    tokens = trace["token_text"]
    return {
        "inset": grid(values, texts, 0, Scale(0.0, 1.0), "weight"),
        "insetrows": [
            {"yc": y + 0.5, "text": ends(str(tokens[key]), 7)}
            for y, key in enumerate(reversed(shown.keys))
        ],
        "insetcolumns": [
            {"xc": x + 0.5, "text": short(str(tokens[query]), letters)}
            for x, query in enumerate(shown.queries)
        ],
        "insettitle": [{"text": title}],
    }


def state(shown: Inset, height: int) -> dict[str, Any]:
    """The parameters of `heatmap` that go with them, for an inset of `height` pixels."""
    keys = len(shown.keys)
    return {
        "insetwidth": len(shown.queries),
        "insetheight": keys,
        "insetfont": min(12, height / keys * 0.75),
    }
