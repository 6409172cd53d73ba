"""The token × token map of a long prompt: all of it in tiles, a region of it, an exact window.

Queries downwards, keys to the right. Below the map and the region, aligned to their keys: what each
key receives from all queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np

from attentropy.engine.trace import Trace
from attentropy.report import reach
from attentropy.report.figures.cells import hexes, numbers
from attentropy.report.figures.marks import (
    GREEN,
    PURPLE,
    Layers,
    data,
    down_scale,
    finished,
    rule,
    space,
    words,
    written,
    x_scale,
)
from attentropy.report.palette import LIGHT, colors, shades
from attentropy.report.payload import is_causal
from attentropy.report.planes import step, tiles
from attentropy.report.raster import data_uri, png

# Colours are of log10, from this share of a query's attention to all of it.
LEAST = 1e-4
_STRIP = 48
_LEGEND = 12
_ROWS = 6  # pixels between what stands one below the other
_MOST_TILES = 128
_POINTS = 512


@dataclass(frozen=True)
class MapSize:
    """Pixels of a panel and between panels; side by side, or one below the other."""

    side: int
    gap: int
    beside: bool

    @property
    def part(self) -> tuple[int, int]:
        """Where the region's panel begins, from the first one's corner."""
        if self.beside:
            return self.side + self.gap, 0
        return 0, self.side + _STRIP + self.gap + 3 * _ROWS


WIDE, NARROW = MapSize(305, 58, True), MapSize(290, 44, False)

_X, _Y = ("0", "n"), ("0", "n")
_PART_X, _PART_Y = ("k0", "k1"), ("q0", "q1")
_WINDOW_X, _WINDOW_Y = ("wk0", "wk1"), ("wq0", "wq1")


def attentionmap(
    size: MapSize, state: Mapping[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The specification.

    Parameters: n, the region q0, q1, k0, k1, the window wq0, wq1, wk0, wk1, the
    strip's range r0, r1, colours. Datasets: map {url} of all tiles, exact {url} over the region,
    window {url}; received and receivedpart {x, y}; titles, numbers, legend."""
    overview = _panel(size, ["map"], _X, _Y, "maptitle", [
        _frame(size, PURPLE, _X, _Y, _PART_X, _PART_Y, 2.5),
        _frame(size, GREEN, _X, _Y, _WINDOW_X, _WINDOW_Y, 1.5),
        words("queries", x=alt.XValue(-6), y=down_scale("at:Q", *_Y), align="right",
              baseline="middle", fontSize=10),
        words("querytitle", x=alt.XValue(-6), y=alt.YValue(-8), align="right", baseline="bottom",
              fontSize=10),
    ])  # fmt: skip
    part = _panel(size, ["map", "exact"], _PART_X, _PART_Y, "parttitle", [
        _frame(size, GREEN, _PART_X, _PART_Y, _WINDOW_X, _WINDOW_Y, 2),
        _border(size, PURPLE),
    ])  # fmt: skip
    inset = _panel(size, ["window"], _WINDOW_X, _WINDOW_Y, "windowtitle", [_border(size, GREEN)])
    strips = [_strip(size, "received", _X), _strip(size, "receivedpart", _PART_X)]
    if size.beside:
        rows = (
            (overview, _aside(size, PURPLE, _Y, _PART_Y), part,
             _aside(size, GREEN, _PART_Y, _WINDOW_Y), inset),
            (strips[0], space(size.gap, _STRIP), strips[1], space(size.gap, _STRIP), _legend(size)),
        )  # fmt: skip
        cells, columns = [cell for row in rows for cell in row], 5
    else:
        between = [space(size.side, size.gap) for _ in range(3)]
        cells, columns = [
            overview, strips[0], between[0], part, strips[1], between[1], inset, between[2],
            _legend(size),
        ], 1  # fmt: skip
    views = {
        "concat": [written(cell) for cell in cells],
        "columns": columns,
        "spacing": {"row": _ROWS, "column": 0},
        "bounds": "flush",
    }
    return finished(views, state, datasets, {"left": 54, "right": 12, "top": 24, "bottom": 22})


def _panel(
    size: MapSize,
    images: Sequence[str],
    x: tuple[str, str],
    y: tuple[str, str],
    title: str,
    more: Sequence[alt.Chart | Layers],
) -> Layers:
    pictures = [
        data(name)
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(x=x_scale("x0:Q", *x), x2="x1", y=down_scale("y0:Q", *y), y2="y1", url="url:N")
        for name in images
    ]
    named = words(title, x=alt.XValue(0), y=alt.YValue(-8), align="left", baseline="bottom",
                  fontSize=11, limit=size.side + size.gap - 6)  # fmt: skip
    grey = (
        data("one")
        .mark_rect(filled=False, stroke="#888888", strokeWidth=1, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(0),
                y2=alt.Y2Value(size.side))
    )  # fmt: skip
    layers = alt.layer(*pictures, grey, *more, named)
    return layers.properties(width=size.side, height=size.side)


def _pixels(at: str, low: str, high: str, side: int) -> str:
    return f"clamp(({at} - {low}) / ({high} - {low}), 0, 1) * {side}"


def _frame(
    size: MapSize, color: alt.ExprRef, x: tuple[str, str], y: tuple[str, str],
    inner_x: tuple[str, str], inner_y: tuple[str, str], width: float,
) -> alt.Chart:  # fmt: skip
    """A rectangle of the panel that another panel shows; none where it lies outside."""
    meets = (
        f"{inner_x[1]} > {x[0]} && {inner_x[0]} < {x[1]} && "
        f"{inner_y[1]} > {y[0]} && {inner_y[0]} < {y[1]} ? 1 : 0"
    )
    left, right = (alt.ExprRef(_pixels(at, *x, size.side)) for at in inner_x)
    top, bottom = (alt.ExprRef(_pixels(at, *y, size.side)) for at in inner_y)
    return (
        data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(left), x2=alt.X2Value(right), y=alt.YValue(top), y2=alt.Y2Value(bottom),
            opacity=alt.OpacityValue(alt.ExprRef(meets)),
        )
    )  # fmt: skip


def _border(size: MapSize, color: alt.ExprRef) -> alt.Chart:
    return (
        data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=2.5, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(0),
                y2=alt.Y2Value(size.side))
    )  # fmt: skip


def _aside(size: MapSize, color: alt.ExprRef, y: tuple[str, str], inner: tuple[str, str]) -> Layers:
    """Lines from a rectangle's top and bottom to the panel that magnifies it."""
    top, bottom = (_pixels(at, *y, size.side) for at in inner)
    shown = alt.OpacityValue(alt.ExprRef(f"{inner[1]} > {y[0]} && {inner[0]} < {y[1]} ? 0.75 : 0"))
    lines = [
        rule(color, "0", f"{size.gap}", top, "0").encode(opacity=shown),
        rule(color, "0", f"{size.gap}", bottom, f"{size.side}").encode(opacity=shown),
    ]
    return alt.layer(*lines).properties(width=size.gap, height=size.side)


def _strip(size: MapSize, name: str, x: tuple[str, str]) -> Layers:
    """What keys receive, on a logarithmic scale, under the panel whose keys they are."""
    domain = [alt.ExprRef("r0"), alt.ExprRef("r1")]
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(type="log", domain=domain, nice=False, clamp=True))
    area = (
        data(name)
        .mark_area(clip=True, color=alt.ExprRef("blue"), opacity=0.85, interpolate="step-after")
        .encode(x=x_scale("x:Q", *x), y=y, y2=alt.Y2Value(_STRIP))
    )
    below = words(f"{name}keys", x=x_scale("xc:Q", *x), y=alt.YValue(_STRIP + 12), align="center",
                  baseline="middle", fontSize=10)  # fmt: skip
    base = rule(alt.ExprRef("ink"), "0", f"{size.side}", f"{_STRIP}", f"{_STRIP}", opacity=0.5)
    ends = words(f"{name}ends", x=alt.XValue(-6), y=alt.Y("at:Q", axis=None, scale=alt.Scale(
        domain=[0, 1])), align="right", baseline="middle", fontSize=9)  # fmt: skip
    return (
        alt.layer(area, base, below, ends)
        .resolve_scale(y="independent")
        .properties(width=size.side, height=_STRIP)
    )


def _legend(size: MapSize) -> Layers:
    """The colours lie on the log10 of a share."""
    x = alt.X("x0:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ramp = (
        data("maplegend")
        .mark_rect()
        .encode(x=x, x2="x1", y=alt.YValue(18), y2=alt.Y2Value(18 + _LEGEND),
                fill=alt.Fill("fill:N", scale=None))
    )  # fmt: skip
    outline = (
        data("one")
        .mark_rect(filled=False, stroke="#888888", strokeWidth=0.5, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(18),
                y2=alt.Y2Value(18 + _LEGEND))
    )  # fmt: skip
    at = alt.X("at:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ticks = words("mapticks", x=at, y=alt.YValue(18 + _LEGEND + 11), align="center",
                  baseline="middle", fontSize=10)  # fmt: skip
    title = words("maplegendtitle", x=alt.XValue(0), y=alt.YValue(12), align="left",
                  baseline="bottom", fontSize=11)  # fmt: skip
    return alt.layer(ramp, outline, ticks, title).properties(width=size.side, height=_STRIP)


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
