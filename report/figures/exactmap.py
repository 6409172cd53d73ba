"""The attention map of a short prompt: exact weights as one image.

Queries run downwards, keys to the right.
"""

from __future__ import annotations

import math

import altair as alt

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.crosshair import map_marks
from attentropy.report.figures.exact_weights import window_weights
from attentropy.report.figures.marks import (
    border,
    colour_ramp,
    down_scale,
    picture,
    text_mark,
    unit_scale,
    x_scale,
)
from attentropy.report.figures.specification import (
    Channels,
    Datasets,
    Parameters,
    VegaLite,
    layer,
    ramp_rows,
    specification,
)
from attentropy.report.figures.tilemap_data import hidden_tiles, legend_rows, log_picture
from attentropy.report.palette import LIGHT, ramp
from attentropy.report.text import shorten

WIDE, NARROW = 430, 240  # pixels of the map's side on a screen and on a telephone
LEGEND = 62  # pixels that the legend takes next to the map
_RAMP = 12
_TITLE = 86  # pixels that the title of the rows takes
_LABEL = 12  # pixels of a label's height
_ENDS = ("first", "first + n")  # of its queries and of its keys


def exactmap(side: int, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of a map of `side` pixels, with its legend at the right.

    Parameters: n tokens, first position, col (the marked position), ink.

    Datasets: map {url}, labels {at, text}, rowtitle, columntitle, legend, ticks, legendtitle; row 0
    of the image is the first query.
    """
    weights = layer(
        picture("map", (0, "n"), down_scale("y0:Q", 0, "n"), clip=False),
        *_labels(side),
        *_axis_titles(),
        border(side),
        *map_marks(side, _ENDS, _ENDS),
        width=side,
        height=side,
    )
    views = {"hconcat": [weights, _legend(side)], "spacing": 14, "bounds": "flush"}
    padding = {"left": 4, "right": 8, "top": 6, "bottom": 4}
    return specification(views, {"hovercol": -1, **state}, datasets, padding)


def _labels(side: int) -> tuple[alt.Chart, alt.Chart]:
    """Return the tokens of the queries at the left, and those of the keys below."""
    style: Channels = {"align": "right", "baseline": "middle", "fontSize": 10}
    left = text_mark("labels", x=alt.XValue(-6), y=down_scale("at:Q", 0, "n"), **style)
    x = x_scale("at:Q", 0, "n")
    return left, text_mark("labels", x=x, y=alt.YValue(side + 8), angle=310, **style)


def _axis_titles() -> tuple[alt.Chart, alt.Chart]:
    """Return the words that say what rows and columns are, above the line of the legend's title."""

    def title(name: str, x: int) -> alt.Chart:
        return text_mark(
            name, x=alt.XValue(x), y=alt.YValue(-24), align="left", baseline="bottom", fontSize=11
        )

    return title("rowtitle", 0), title("columntitle", _TITLE)


def _legend(side: int) -> VegaLite:
    ticks = text_mark(
        "ticks", x=alt.XValue(_RAMP + 5), y=unit_scale("y:Q"), align="left", baseline="middle",
        fontSize=10,
    )  # fmt: skip
    title = text_mark(
        "legendtitle", x=alt.XValue(_RAMP), y=alt.YValue(-8), align="right", baseline="bottom",
        fontSize=11,
    )  # fmt: skip
    return layer(colour_ramp(0, _RAMP), ticks, title, width=_RAMP, height=side)


def first_map(
    trace: Trace, column: int, entry: int = 0, head: int | None = None, side: int = WIDE
) -> VegaLite:
    """Return the map of the layer `entry`: of one head, or the mean over heads."""
    exact = window_weights(trace, "window", entry, head)
    weights, first = exact.values, exact.query
    n = weights.shape[0]
    edges = range(first, first + n + 1)
    image = log_picture(weights, hidden_tiles(trace, entry, weights, edges, edges))
    every = max(1, math.ceil(n * _LABEL / side))
    tokens = trace.tokens
    labels = [{"at": i + 0.5, "text": shorten(tokens[first + i], 10)} for i in range(0, n, every)]
    state = {"n": n, "first": first, "col": column, **LIGHT}
    rows = {
        "map": [{"x0": 0, "x1": n, "y0": 0, "y1": n, "url": image}],
        "labels": labels,
        "rowtitle": [{"text": "rows: queries"}],
        "columntitle": [{"text": "columns: keys"}],
        "one": [{"o": 1}],
        "legend": ramp_rows(ramp("weight")),
        "ticks": [{"y": row["at"], "text": row["text"]} for row in legend_rows()["mapticks"]],
        "legendtitle": [{"text": "Attention weight (log scale)"}],
    }
    return exactmap(side, state, rows)
