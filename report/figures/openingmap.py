"""What the map of a long prompt opens with: the first layer, the tail, an exact window there.

The page's script makes the same datasets when the view moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace import Trace
from attentropy.report import reach
from attentropy.report.figures.attentionmap import LEAST, MapSize, attentionmap
from attentropy.report.figures.cells import hexes, numbers
from attentropy.report.palette import LIGHT, colors, shades
from attentropy.report.payload import is_causal
from attentropy.report.planes import step, tiles
from attentropy.report.raster import data_uri, png

_MOST_TILES = 128
_POINTS = 512


def log_picture(values: np.ndarray, hidden: np.ndarray) -> str:
    """The picture of shares on the log scale; empty where `hidden`: no key is visible."""
    at = 1 + np.log10(np.maximum(np.nan_to_num(values), LEAST)) / -np.log10(LEAST)
    return data_uri(png(*shades(at, 0, 1, "weight", hidden)))


def hidden(queries: Sequence[int], keys: Sequence[int]) -> np.ndarray:
    """Whether every key of a tile comes after all its queries, from the edges of the tiles."""
    return np.asarray(keys[:-1])[None, :] >= np.asarray(queries[1:])[:, None]


def first_state(trace: Trace) -> dict[str, int]:
    """The region that opens: the prompt's tail, or twice an exact window there; and the window."""
    n = trace.dataset.sizes["position"]
    name = next(iter(reach.window_names(trace)), None)
    window = {"wq0": -1, "wq1": -1, "wk0": -1, "wk1": -1}
    side = max(1, n // 8)
    q1 = k1 = n
    if name is not None:
        queries, keys = (trace[f"window_{part}{name[6:]}"] for part in ("query", "key"))
        window = {
            "wq0": int(queries[0]), "wq1": int(queries[-1]) + 1,
            "wk0": int(keys[0]), "wk1": int(keys[-1]) + 1,
        }  # fmt: skip
        side = min(n, max(side, 2 * len(queries), 2 * len(keys)))
        q1 = min(n, max(side, window["wq1"] + side // 4))
        k1 = min(n, max(side, window["wk1"] + side // 4))
    return {"n": n, "q0": q1 - side, "q1": q1, "k0": k1 - side, "k1": k1, **window}


def first_attentionmap(trace: Trace, size: MapSize) -> dict[str, Any]:
    """The first layer, the first of the heads that the map holds, as a specification."""
    state = first_state(trace)
    n = state["n"]
    pool = step(min(trace.dataset["map"].shape[2:]), _MOST_TILES)
    weights = reach.pooled(trace, 0, pool)[0]
    edges = reach.edges(trace["map_query"], pool, n), reach.edges(trace["map_key"], pool, n)
    unseen = hidden(*edges) if is_causal(trace) else np.zeros(weights.shape, bool)
    image = log_picture(weights, unseen)
    received, low, high = _received(trace)
    part = f"queries {state['q0']:,}–{state['q1'] - 1:,} × keys {state['k0']:,}–{state['k1'] - 1:,}"
    if size.beside:
        part = f"tiles of {edges[0][1] - edges[0][0]:,}: {part}"
    rows: dict[str, Any] = {
        "one": [{"o": 1}],
        "map": [{"x0": 0, "x1": _end(edges[1]), "y0": 0, "y1": _end(edges[0]), "url": image}],
        "exact": [],
        "window": [],
        "maptitle": [{"text": f"all {n:,} queries × {n:,} keys"}],
        "parttitle": [{"text": part}],
        "windowtitle": [],
        "querytitle": [{"text": "query"}],
        "queries": [{"at": row["xc"], "text": row["text"]} for row in numbers(0, n, size.side)],
        "received": received,
        "receivedpart": received,
        "receivedkeys": numbers(0, n, size.side),
        "receivedpartkeys": numbers(state["k0"], state["k1"], size.side),
        "receivedends": [
            {"at": 0.08, "text": _power(low)}, {"at": 0.92, "text": _power(high)},
        ] if received else [],
        "receivedpartends": [],
        **legend_rows(),
    }  # fmt: skip
    if state["wq0"] >= 0:
        rows |= _window_rows(trace, state)
    return attentionmap(size, {**state, "r0": low, "r1": high, **LIGHT}, rows)


def legend_rows() -> dict[str, Any]:
    steps = 64
    fills = hexes(colors((np.arange(steps) + 0.5) / steps, 0, 1, "weight"))
    decades = round(-np.log10(LEAST))
    return {
        "maplegend": [
            {"x0": i / steps, "x1": min(1, (i + 1.3) / steps), "fill": fill}
            for i, fill in enumerate(fills)
        ],
        "mapticks": [
            {"at": i / decades, "text": f"{10.0 ** (i - decades):g}"} for i in range(decades + 1)
        ],
        "maplegendtitle": [{"text": "Share of a query's attention (log scale)"}],
    }


def _window_rows(trace: Trace, state: Mapping[str, int]) -> dict[str, Any]:
    name = reach.window_names(trace)[0]
    weights = trace.dataset[name][0].values
    with np.errstate(invalid="ignore"):
        there = np.isfinite(weights).any((1, 2))
    mean = np.nan_to_num(weights[there]).mean(0) if there.any() else np.zeros(weights.shape[1:])
    edges = (range(state["wq0"], state["wq1"] + 1), range(state["wk0"], state["wk1"] + 1))
    unseen = hidden(*edges) if is_causal(trace) else np.zeros(mean.shape, bool)
    return {
        "window": [{
            "x0": state["wk0"], "x1": state["wk1"], "y0": state["wq0"], "y1": state["wq1"],
            "url": log_picture(mean, unseen),
        }],
        "windowtitle": [{"text": (
            f"exact: queries {state['wq0']:,}–{state['wq1'] - 1:,} × "
            f"keys {state['wk0']:,}–{state['wk1'] - 1:,}"
        )}],
    }  # fmt: skip


def _received(trace: Trace) -> tuple[list[dict[str, float]], float, float]:
    """Points of the strip, and the ends of its scale."""
    if "received" not in trace:
        return [], 0.1, 1.0
    values = trace.dataset["received"][0].values[:1].astype(np.float32)
    size = step(values.shape[1], _POINTS)
    mean = tiles(values, size).mean[0]
    low, high = received_range(mean)
    points = [
        {"x": i * size, "y": float(max(low, value))}
        for i, value in enumerate(mean) if np.isfinite(value)
    ]  # fmt: skip
    return points, low, high


def _power(value: float) -> str:
    """A power of ten as it is written."""
    return "10" + str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def received_range(values: np.ndarray) -> tuple[float, float]:
    """Powers of ten around what is there, no more than six of them."""
    there = values[np.isfinite(values) & (values > 0)]
    if not there.size:
        return 0.1, 1.0
    high = 10.0 ** np.ceil(np.log10(there.max()))
    low = 10.0 ** np.floor(np.log10(there.min()))
    return float(max(low, high / 1e6)), float(max(high, low * 10))


def _end(edges: Sequence[int]) -> int:
    """Where the last tile would end if it were whole: the picture's columns are equally wide."""
    size = edges[1] - edges[0] if len(edges) > 1 else 1
    return edges[0] + size * (len(edges) - 1)
