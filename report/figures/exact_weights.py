"""Exact attention weights in the figure: the window that contains them, and the inset of them.

The page's script makes the same inset when the selection moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.heatmap_data import grid
from attentropy.report.figures.specification import Row, Rows
from attentropy.report.read.maps import window_names
from attentropy.report.read.top_keys import hidden_keys
from attentropy.report.scale import Scale
from attentropy.report.text import label, shorten_middle, special_name

_QUERIES, _KEYS = 3, 6  # of the inset
_WEIGHT_WIDTH = 36  # pixels that a weight takes
_LETTER = 7.2  # pixels per letter of a label


@dataclass(frozen=True)
class WindowWeights:
    """The weights of a window in one layer, [query, key], NaN where missing.

    `query` and `key` are the positions of the first ones; `mean` is true if the weights are means
    over heads and not those of the head that was requested.
    """

    values: np.ndarray
    query: int
    key: int
    mean: bool


def window_weights(trace: Trace, name: str, entry: int, head: int | None) -> WindowWeights:
    """Return the weights of one of `window_names` in the layer `entry`.

    They are those of the head with the number `head` if the window contains it, else the mean over
    heads.
    """
    number = name[6:]
    values = trace.dataset[name][entry].values.astype(np.float32, copy=False)
    names = trace[f"window_head{number}"] if f"window_head{number}" in trace else np.array([-1])
    query, key = (int(trace[f"window_{axis}{number}"][0]) for axis in ("query", "key"))
    matches = np.flatnonzero(names == head) if head is not None and head >= 0 else np.array([], int)
    if matches.size:
        return WindowWeights(values[matches[0]], query, key, False)
    finite = np.isfinite(values)
    mean = np.where(finite, values, 0).sum(0) / np.maximum(finite.sum(0), 1)
    return WindowWeights(np.where(finite.any(0), mean, np.nan), query, key, True)


@dataclass(frozen=True)
class InsetWeights:
    """The weights [query, key] of `queries` over `keys`, both ascending positions.

    `mean` is true if the weights are means over heads.
    """

    weights: np.ndarray
    queries: list[int]
    keys: list[int]
    mean: bool


def inset(trace: Trace, column: int, entry: int, head: int | None) -> InsetWeights | None:
    """Return the weights of a position and of the two before it, over their strongest keys.

    The keys are those that the position attends to most, besides the layer's sink keys where the
    trace leaves these out and there are others. Return None if no window contains the weights of
    the position.
    """
    name = window_of(trace, column)
    if name is None:
        return None
    full = window_weights(trace, name, entry, head)
    queries = [q for q in range(column - _QUERIES + 1, column + 1) if q >= full.query]
    visible = min(column + 1 - full.key, full.values.shape[1])
    row = np.nan_to_num(full.values[column - full.query, :visible])
    candidates = np.setdiff1d(
        np.arange(visible), np.array(hidden_keys(trace, entry), int) - full.key
    )
    candidates = candidates if candidates.size else np.arange(visible)
    strongest = np.sort(candidates[np.argsort(-row[candidates], kind="stable")[:_KEYS]])
    rows = full.values[np.array(queries) - full.query]
    keys = [int(full.key + index) for index in strongest]
    return InsetWeights(rows[:, strongest], queries, keys, full.mean)


def window_of(trace: Trace, column: int) -> str | None:
    """Return the name of the first window that contains the query `column` and keys before it."""
    for name in window_names(trace):
        queries, keys = trace[f"window_query{name[6:]}"], trace[f"window_key{name[6:]}"]
        first = int(queries[0])
        if first <= column < first + len(queries) and column >= int(keys[0]):
            return name
    return None


def fit_queries(inset_weights: InsetWeights, pixels: int) -> InsetWeights:
    """Return the last queries of the inset, as many as fit into `pixels`."""
    count = max(1, pixels // _WEIGHT_WIDTH)
    return replace(
        inset_weights,
        weights=inset_weights.weights[-count:],
        queries=inset_weights.queries[-count:],
    )


def datasets(trace: Trace, inset_weights: InsetWeights, title: str, pixels: int) -> dict[str, Rows]:
    """Return the datasets of `heatmap` for an inset of weights that is `pixels` wide.

    Keys run downwards, queries to the right.
    """
    letters = int(pixels / len(inset_weights.queries) / _LETTER)
    values = inset_weights.weights.T[::-1]  # [key, query], row 0 at the bottom: the last key
    texts = [[f"{value:.2f}" if np.isfinite(value) else "" for value in row] for row in values]
    tokens = trace["token_text"]
    return {
        "inset": grid(values, texts, 0, Scale(0.0, 1.0), "weight"),
        "insetrows": [
            {"yc": y + 0.5, "text": shorten_middle(special_name(str(tokens[key])), 7)}
            for y, key in enumerate(reversed(inset_weights.keys))
        ],
        "insetcolumns": [
            {"xc": x + 0.5, "text": label(str(tokens[query]), letters)}
            for x, query in enumerate(inset_weights.queries)
        ],
        "insettitle": [{"text": title}],
    }


def state(inset_weights: InsetWeights, height: int) -> Row:
    """Return the parameters of `heatmap` for an inset of weights that is `height` pixels high."""
    keys = len(inset_weights.keys)
    return {
        "insetwidth": len(inset_weights.queries),
        "insetheight": keys,
        "insetfont": min(12, height / keys * 0.75),
    }
