"""The attention map of a short prompt: exact weights as one image.

Queries run downwards, keys to the right.
"""

from __future__ import annotations

import math

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.crosshair import map_marks
from attentropy.report.figures.exact_weights import window_weights
from attentropy.report.figures.marks import (
    border,
    down_scale,
    picture,
    text_mark,
    x_scale,
)
from attentropy.report.figures.specification import (
    Channels,
    Datasets,
    Parameters,
    VegaLite,
    layer,
    specification,
)
from attentropy.report.figures.tilemap_data import hidden_tiles
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors
from attentropy.report.text import shorten

_SIDE = 430
_MOST_LABELS = 36
_ENDS = ("first", "first + n")  # of its queries and of its keys


def exactmap(side: int, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of a map of `side` pixels.

    Parameters: n tokens, first position, col (the marked position), ink.

    Datasets: map {url}, labels {at, text}; row 0 of the image is the first query.
    """
    views = layer(
        picture("map", (0, "n"), down_scale("y0:Q", 0, "n"), clip=False),
        *_labels(side),
        border(side),
        *map_marks(side, _ENDS, _ENDS),
        width=side,
        height=side,
    )
    padding = {"left": 4, "right": 8, "top": 6, "bottom": 4}
    return specification(views, {"hovercol": -1, **state}, datasets, padding)


def _labels(side: int) -> tuple[alt.Chart, alt.Chart]:
    """Return the tokens of the queries at the left, and those of the keys below."""
    style: Channels = {"align": "right", "baseline": "middle", "fontSize": 10}
    left = text_mark("labels", x=alt.XValue(-6), y=down_scale("at:Q", 0, "n"), **style)
    x = x_scale("at:Q", 0, "n")
    return left, text_mark("labels", x=x, y=alt.YValue(side + 8), angle=310, **style)


def first_map(
    trace: Trace, column: int, entry: int = 0, head: int | None = None, side: int = _SIDE
) -> VegaLite:
    """Return the map of the layer `entry`: of one head, or the mean over heads."""
    exact = window_weights(trace, "window", entry, head)
    weights, first = exact.values, exact.query
    n = weights.shape[0]
    edges = range(first, first + n + 1)
    hidden = hidden_tiles(trace, entry, weights, edges, edges)
    opacity = np.where(hidden, 0, 255).astype(np.uint8)[..., None]
    image = png(np.concatenate([colors(weights, 0, 1, "weight"), opacity], -1))
    every = max(1, math.ceil(n / _MOST_LABELS))
    tokens = trace.tokens
    labels = [{"at": i + 0.5, "text": shorten(tokens[first + i], 10)} for i in range(0, n, every)]
    state = {"n": n, "first": first, "col": column, **LIGHT}
    rows = {
        "map": [{"x0": 0, "x1": n, "y0": 0, "y1": n, "url": data_uri(image)}],
        "labels": labels,
        "one": [{"o": 1}],
    }
    return exactmap(side, state, rows)
