"""What the map of a long prompt opens with: a layer, the tail or a region, an exact window.

The page's script makes the same datasets when the view moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.heatmap_data import hexes, numbers
from attentropy.report.figures.tilemap import LEAST, MapSize, attentionmap
from attentropy.report.figures.weights import window
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors, shades
from attentropy.report.planes import step, tiles
from attentropy.report.read.maps import edges, pooled, window_names
from attentropy.report.read.positions import Range
from attentropy.report.read.visible import is_causal

_MOST_TILES = 128
_POINTS = 512
_ROOM = 260  # pixels that a title takes which says the tiles' size too


def log_picture(values: np.ndarray, hidden: np.ndarray) -> str:
    """The picture of shares on the log scale; empty where `hidden`: no key is visible."""
    at = 1 + np.log10(np.maximum(np.nan_to_num(values), LEAST)) / -np.log10(LEAST)
    return data_uri(png(*shades(at, 0, 1, "weight", hidden)))


def hidden(queries: Sequence[int], keys: Sequence[int]) -> np.ndarray:
    """Whether every key of a tile comes after all its queries, from the edges of the tiles."""
    return np.asarray(keys[:-1])[None, :] >= np.asarray(queries[1:])[:, None]


def first_state(trace: Trace, region: Range | None = None) -> dict[str, int]:
    """The region that opens: queries and keys that were asked for, or the prompt's tail, or twice
    an exact window there; and the window."""
    n = trace.dataset.sizes["position"]
    name = next(iter(window_names(trace)), None)
    held = {"wq0": -1, "wq1": -1, "wk0": -1, "wk1": -1}
    side = max(1, n // 8)
    q1 = k1 = n
    if name is not None:
        queries, keys = (trace[f"window_{part}{name[6:]}"] for part in ("query", "key"))
        held = {
            "wq0": int(queries[0]), "wq1": int(queries[-1]) + 1,
            "wk0": int(keys[0]), "wk1": int(keys[-1]) + 1,
        }  # fmt: skip
        side = min(n, max(side, 2 * len(queries), 2 * len(keys)))
        q1 = min(n, max(side, held["wq1"] + side // 4))
        k1 = min(n, max(side, held["wk1"] + side // 4))
    if region is not None:
        (q0, q1), (k0, k1) = region, region
    else:
        q0, k0 = q1 - side, k1 - side
    return {"n": n, "q0": q0, "q1": q1, "k0": k0, "k1": k1, **held}


@dataclass(frozen=True)
class Tiles:
    """Shares [query tile, key tile] of a layer, and where the tiles begin and the last one ends."""

    shares: np.ndarray
    queries: list[int]
    keys: list[int]


def tiles_of(trace: Trace, entry: int, head: int, most: int = _MOST_TILES) -> Tiles:
    """The map of an entry along `layer` and of one of the heads that it holds, in at most `most`
    tiles a side."""
    n = trace.dataset.sizes["position"]
    pool = step(min(trace.dataset["map"].shape[2:]), most)
    queries, keys = (edges(trace[f"map_{part}"], pool, n) for part in ("query", "key"))
    return Tiles(pooled(trace, entry, pool)[head], queries, keys)


def first_attentionmap(
    trace: Trace,
    size: MapSize,
    entry: int = 0,
    head: int = 0,
    region: Range | None = None,
    most: int = _MOST_TILES,
) -> dict[str, Any]:
    """A layer, of one of the heads that the map holds, as a specification."""
    state = first_state(trace, region)
    n = state["n"]
    tiled = tiles_of(trace, entry, head, most)
    edges = tiled.queries, tiled.keys
    unseen = hidden(*edges) if is_causal(trace) else np.zeros(tiled.shares.shape, bool)
    image = log_picture(tiled.shares, unseen)
    received, low, high = received_points(trace, entry, head)
    part = f"queries {state['q0']:,}–{state['q1'] - 1:,} × keys {state['k0']:,}–{state['k1'] - 1:,}"
    if size.side >= _ROOM and size.beside:
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
        rows |= _window_rows(trace, state, entry, int(trace["map_head"][head]))
        # A region that the window holds is drawn from its exact weights.
        if all(
            state[f"w{a}0"] <= state[f"{a}0"] and state[f"{a}1"] <= state[f"w{a}1"] for a in "qk"
        ):
            rows["exact"] = rows["window"]
            rows["parttitle"] = [{"text": f"exact: {part.rpartition(': ')[2]}"}]
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


def _window_rows(trace: Trace, state: Mapping[str, int], entry: int, head: int) -> dict[str, Any]:
    weights = window(trace, window_names(trace)[0], entry, head).values
    edges = (range(state["wq0"], state["wq1"] + 1), range(state["wk0"], state["wk1"] + 1))
    unseen = hidden(*edges) if is_causal(trace) else np.zeros(weights.shape, bool)
    return {
        "window": [{
            "x0": state["wk0"], "x1": state["wk1"], "y0": state["wq0"], "y1": state["wq1"],
            "url": log_picture(weights, unseen),
        }],
        "windowtitle": [{"text": (
            f"exact: queries {state['wq0']:,}–{state['wq1'] - 1:,} × "
            f"keys {state['wk0']:,}–{state['wk1'] - 1:,}"
        )}],
    }  # fmt: skip


def received_points(
    trace: Trace, entry: int, head: int
) -> tuple[list[dict[str, float]], float, float]:
    """Points of the strip, and the ends of its scale."""
    if "received" not in trace:
        return [], 0.1, 1.0
    held = np.flatnonzero(trace["received_head"] == trace["map_head"][head])
    at = int(held[0]) if held.size else 0
    values = trace.dataset["received"][entry].values[at : at + 1].astype(np.float32)
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
