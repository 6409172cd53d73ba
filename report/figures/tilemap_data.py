"""The datasets of the long prompt's map in its first state: a layer, a region, an exact window.

The page's script makes the same datasets when the view moves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.column_labels import numbers
from attentropy.report.figures.exact_weights import window_weights
from attentropy.report.figures.specification import Rows, VegaLite, ramp_rows
from attentropy.report.figures.tilemap import LEAST, MapSize, tilemap
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, ramp, shades
from attentropy.report.planes import make_tiles, tile_size
from attentropy.report.read.maps import pool_tiles, tile_edges, window_names
from attentropy.report.read.positions import Range
from attentropy.report.read.visible import is_causal
from attentropy.report.units import count

_MOST_TILES = 128
_MOST_POINTS = 512  # of a strip
_LONG_TITLE = 260  # pixels that a title takes with the size of the tiles in it


def log_picture(values: np.ndarray, hidden: np.ndarray) -> str:
    """Return the picture of shares on the log scale; `hidden` tiles, without a key, are empty."""
    fractions = 1 + np.log10(np.maximum(values, LEAST)) / -np.log10(LEAST)  # NaN is missing
    return data_uri(png(*shades(fractions, 0, 1, "weight", hidden)))


def hidden_tiles(
    trace: Trace, entry: int, shares: np.ndarray, queries: Sequence[int], keys: Sequence[int]
) -> np.ndarray:
    """Return for each tile whether none of its queries sees any of its keys.

    All keys come after the queries, or before the first key that they see. `shares` [query tile,
    key tile] are those of the layer `entry`, `queries` and `keys` the edges of the tiles.
    """
    if not is_causal(trace):
        return np.zeros(shares.shape, bool)
    starts, stops = np.asarray(queries[:-1])[:, None], np.asarray(keys[1:])[None, :]
    is_unseen = np.asarray(keys[:-1])[None, :] >= np.asarray(queries[1:])[:, None]
    if "visible" in trace:
        first_keys = starts + 1 - trace["visible"][entry][starts].astype(np.int64)
        is_unseen |= stops <= first_keys
    return is_unseen & ~(shares > 0)


def first_state(trace: Trace, region: Range | None = None) -> dict[str, int]:
    """Return the parameters of the region that opens and of the exact window.

    The region is `region` in queries and keys, by default the prompt's tail, which is enlarged to
    twice the exact window if there is one.
    """
    n = trace.prompt_tokens
    name = next(iter(window_names(trace)), None)
    exact = {"wq0": -1, "wq1": -1, "wk0": -1, "wk1": -1}
    side = max(1, n // 8)
    q1 = k1 = n
    if name is not None:
        queries, keys = (trace[f"window_{axis}{name[6:]}"] for axis in ("query", "key"))
        exact = {
            "wq0": int(queries[0]), "wq1": int(queries[-1]) + 1,
            "wk0": int(keys[0]), "wk1": int(keys[-1]) + 1,
        }  # fmt: skip
        side = min(n, max(side, 2 * len(queries), 2 * len(keys)))
        q1 = min(n, max(side, exact["wq1"] + side // 4))
        k1 = min(n, max(side, exact["wk1"] + side // 4))
    if region is not None:
        (q0, q1), (k0, k1) = region, region
    else:
        q0, k0 = q1 - side, k1 - side
    return {"n": n, "q0": q0, "q1": q1, "k0": k0, "k1": k1, **exact}


@dataclass(frozen=True)
class MapTiles:
    """The shares [query tile, key tile] of a layer, and the edges of the tiles in tokens."""

    shares: np.ndarray
    queries: list[int]
    keys: list[int]


def tiles_of(trace: Trace, entry: int, head: int, most_tiles: int = _MOST_TILES) -> MapTiles:
    """Return the map of a layer and one of its heads, with at most `most_tiles` tiles per side.

    `entry` and `head` are indices of the recorded layers and of the map's heads.
    """
    n = trace.prompt_tokens
    pool = tile_size(min(trace.dataset["map"].shape[2:]), most_tiles)
    queries, keys = (tile_edges(trace[f"map_{axis}"], pool, n) for axis in ("query", "key"))
    return MapTiles(pool_tiles(trace, entry, pool)[head], queries, keys)


def first_tilemap(
    trace: Trace,
    size: MapSize,
    entry: int = 0,
    head: int = 0,
    region: Range | None = None,
    most_tiles: int = _MOST_TILES,
) -> VegaLite:
    """Return the specification for a layer and one of the heads that the map contains."""
    state = first_state(trace, region)
    tiles = tiles_of(trace, entry, head, most_tiles)
    received, low, high = received_points(trace, entry, head)
    has_long_title = size.side >= _LONG_TITLE and size.side_by_side
    rows = {
        "one": [{"o": 1}],
        **_tile_rows(trace, tiles, entry),
        **_title_rows(state, tiles if has_long_title else None),
        **_key_rows(state, size.side),
        **_received_rows(received, low, high, (state["k0"], state["k1"])),
        **legend_rows(),
        "exact": [],
        "window": [],
        "windowtitle": [],
    }
    if state["wq0"] >= 0:
        rows |= _window_rows(trace, state, entry, int(trace["map_head"][head]))
        if _is_inside_window(state):
            # A region inside the window is drawn from its exact weights.
            rows["exact"] = rows["window"]
            rows["parttitle"] = [{"text": f"exact: {_region_title(state)}"}]
    return tilemap(size, {**state, "r0": low, "r1": high, **LIGHT}, rows)


def _tile_rows(trace: Trace, tiles: MapTiles, entry: int) -> dict[str, Rows]:
    hidden = hidden_tiles(trace, entry, tiles.shares, tiles.queries, tiles.keys)
    image = log_picture(tiles.shares, hidden)
    width, height = _full_extent(tiles.keys), _full_extent(tiles.queries)
    return {"map": [{"x0": 0, "x1": width, "y0": 0, "y1": height, "url": image}]}


def _region_title(state: Mapping[str, int]) -> str:
    return f"queries {state['q0']:,}–{state['q1'] - 1:,} × keys {state['k0']:,}–{state['k1'] - 1:,}"


def _title_rows(state: Mapping[str, int], tiles: MapTiles | None) -> dict[str, Rows]:
    """Return the titles; that of the region has the size of `make_tiles` if they are passed."""
    n, region = state["n"], _region_title(state)
    if tiles is not None:
        region = f"tiles of {tiles.queries[1] - tiles.queries[0]:,}: {region}"
    return {
        "maptitle": [{"text": f"{count(n, 'query', 'queries')} × {count(n, 'key')}"}],
        "parttitle": [{"text": region}],
        "querytitle": [{"text": "query"}],
    }


def _key_rows(state: Mapping[str, int], side: int) -> dict[str, Rows]:
    """Return the numbers of the queries at the left and of the keys below the strips."""
    labels = numbers(0, state["n"], side)
    return {
        "queries": [{"at": row["xc"], "text": row["text"]} for row in labels],
        "receivedkeys": labels,
        "receivedpartkeys": numbers(state["k0"], state["k1"], side),
    }


def _received_rows(points: Rows, low: float, high: float, keys: Range) -> dict[str, Rows]:
    """Return the points of both strips, and the ends of the first strip's scale.

    The second strip has those of the region's `keys`, with the point before and the one after it:
    a converter may leave out an area that reaches far beyond its picture.
    """
    starts = [point["x"] for point in points]
    first, last = bisect_right(starts, keys[0]) - 1, bisect_left(starts, keys[1]) + 1
    ends = [{"at": 0.08, "text": _power(low)}, {"at": 0.92, "text": _power(high)}]
    return {
        "received": points,
        "receivedpart": points[max(0, first) : last],
        "receivedends": ends if points else [],
        "receivedpartends": [],
    }


def legend_rows() -> dict[str, Rows]:
    """Return the rows of the legend: its colours, its ticks and its title."""
    decades = round(-np.log10(LEAST))
    return {
        "maplegend": ramp_rows(ramp("weight"), "x"),
        "mapticks": [
            {"at": i / decades, "text": f"{10.0 ** (i - decades):g}"} for i in range(decades + 1)
        ],
        "maplegendtitle": [{"text": "Share of a query's attention (log scale)"}],
    }


def _is_inside_window(state: Mapping[str, int]) -> bool:
    """Return whether the exact window contains the whole region."""
    return all(
        state[f"w{axis}0"] <= state[f"{axis}0"] and state[f"{axis}1"] <= state[f"w{axis}1"]
        for axis in "qk"
    )


def _window_rows(trace: Trace, state: Mapping[str, int], entry: int, head: int) -> dict[str, Rows]:
    weights = window_weights(trace, window_names(trace)[0], entry, head).values
    edges = (range(state[f"w{axis}0"], state[f"w{axis}1"] + 1) for axis in "qk")
    hidden = hidden_tiles(trace, entry, weights, *edges)
    return {
        "window": [{
            "x0": state["wk0"], "x1": state["wk1"], "y0": state["wq0"], "y1": state["wq1"],
            "url": log_picture(weights, hidden),
        }],
        "windowtitle": [{"text": (
            f"exact: queries {state['wq0']:,}–{state['wq1'] - 1:,} × "
            f"keys {state['wk0']:,}–{state['wk1'] - 1:,}"
        )}],
    }  # fmt: skip


def received_points(trace: Trace, entry: int, head: int) -> tuple[Rows, float, float]:
    """Return the points of the strip, and the two ends of its scale."""
    if "received" not in trace:
        return [], 0.1, 1.0
    matches = np.flatnonzero(trace["received_head"] == trace["map_head"][head])
    row = int(matches[0]) if matches.size else 0
    values = trace.dataset["received"][entry].values[row : row + 1].astype(np.float32)
    size = tile_size(values.shape[1], _MOST_POINTS)
    mean = make_tiles(values, size).mean[0]
    low, high = received_range(mean)
    points = [
        {"x": i * size, "y": float(max(low, value))}
        for i, value in enumerate(mean) if np.isfinite(value)
    ]  # fmt: skip
    return points, low, high


def _power(value: float) -> str:
    """Return a power of ten: as a number near 1, else with its exponent as a superscript."""
    if 1e-3 <= value <= 1e3:
        return f"{value:g}"
    return "10" + str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def received_range(values: np.ndarray) -> tuple[float, float]:
    """Return the powers of ten around the positive values, at most six decades apart."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return 0.1, 1.0
    high = 10.0 ** np.ceil(np.log10(positive.max()))
    low = 10.0 ** np.floor(np.log10(positive.min()))
    return float(max(low, high / 1e6)), float(max(high, low * 10))


def _full_extent(edges: Sequence[int]) -> int:
    """Return the end of the last tile as if it had the size of the others.

    The columns of a picture are equally wide, so a shorter last tile is drawn at full width.
    """
    size = edges[1] - edges[0] if len(edges) > 1 else 1
    return edges[0] + size * (len(edges) - 1)
