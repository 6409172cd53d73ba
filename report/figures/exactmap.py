"""The attention map of a short prompt: exact weights as one image.

Queries run downwards, keys to the right.
"""

from __future__ import annotations

import math

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.exact_weights import window_weights
from attentropy.report.figures.marks import (
    GREEN,
    border,
    dataset,
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
_LABEL_HEIGHT = 11.5  # pixels from label to label


def exactmap(side: int, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of a map of `side` pixels.

    Parameters: n tokens, first position, col (marked query), ink.

    Datasets: map {url}, labels {at, text}; row 0 of the image is the first query.
    """
    views = layer(
        picture("map", (0, "n"), down_scale("y0:Q", 0, "n"), clip=False),
        *_labels(side),
        _marked_query(side),
        border(side),
        width=side,
        height=side,
    )
    padding = {"left": 4, "right": 8, "top": 6, "bottom": 4}
    return specification(views, state, datasets, padding)


def _labels(side: int) -> tuple[alt.Chart, alt.Chart]:
    """Return the tokens of the queries at the left, and those of the keys below."""
    style: Channels = {"align": "right", "baseline": "middle", "fontSize": 10}
    left = text_mark("labels", x=alt.XValue(-6), y=down_scale("at:Q", 0, "n"), **style)
    x = x_scale("at:Q", 0, "n")
    return left, text_mark("labels", x=x, y=alt.YValue(side + 8), angle=310, **style)


def _marked_query(side: int) -> alt.Chart:
    """Return the frame around the row of the selected query."""
    chart: alt.Chart = (
        dataset("one")
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(
            x=alt.XValue(0),
            x2=alt.X2Value(side),
            y=alt.YValue(alt.ExprRef(f"max(0, col - first) / n * {side}")),
            y2=alt.Y2Value(alt.ExprRef(f"max(0, col - first + 1) / n * {side}")),
            opacity=alt.OpacityValue(alt.ExprRef("col >= first && col < first + n ? 1 : 0")),
        )
    )
    return chart


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
    every = max(1, math.ceil(n / min(_MOST_LABELS, side / _LABEL_HEIGHT)))
    tokens = trace.tokens
    labels = [{"at": i + 0.5, "text": shorten(tokens[first + i], 10)} for i in range(0, n, every)]
    state = {"n": n, "first": first, "col": column, **LIGHT}
    rows = {
        "map": [{"x0": 0, "x1": n, "y0": 0, "y1": n, "url": data_uri(image)}],
        "labels": labels,
        "one": [{"o": 1}],
    }
    return exactmap(side, state, rows)
