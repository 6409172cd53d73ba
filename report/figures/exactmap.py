"""The token × token map: one image of exact weights, queries downwards, keys to the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.marks import GREEN, finished, written
from attentropy.report.figures.weights import window
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors
from attentropy.report.read.visible import is_causal
from attentropy.report.text import short

_SIDE = 430


def tokenmap(
    side: int, state: Mapping[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The specification of `side` pixels.

    Parameters: n tokens, first position, col (marked query), ink.

    Datasets: map {url}, labels {at, text}: row 0 of the image is the first query.
    """
    domain: list[Any] = [0, alt.ExprRef("n")]
    x = alt.Scale(domain=domain, nice=False, zero=False)
    y = alt.Scale(domain=domain, nice=False, zero=False, reverse=True)
    image = (
        alt.Chart(alt.NamedData("map"))
        .mark_image(aspect=False, smooth=False)
        .encode(
            x=alt.X("x0:Q", scale=x, axis=None), x2="x1",
            y=alt.Y("y0:Q", scale=y, axis=None), y2="y1", url="url:N",
        )
    )  # fmt: skip
    labels = alt.Chart(alt.NamedData("labels"))
    ink = alt.ExprRef("ink")
    left = labels.mark_text(align="right", baseline="middle", fontSize=10, color=ink).encode(
        x=alt.XValue(-6), y=alt.Y("at:Q", scale=y, axis=None), text="text:N"
    )
    below = labels.mark_text(
        align="right", baseline="middle", angle=310, fontSize=10, color=ink
    ).encode(x=alt.X("at:Q", scale=x, axis=None), y=alt.YValue(side + 8), text="text:N")
    row = (
        alt.Chart(alt.NamedData("one"))
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(
            x=alt.XValue(0),
            x2=alt.X2Value(side),
            y=alt.YValue(alt.ExprRef(f"max(0, col - first) / n * {side}")),
            y2=alt.Y2Value(alt.ExprRef(f"max(0, col - first + 1) / n * {side}")),
            opacity=alt.OpacityValue(alt.ExprRef("col >= first ? 1 : 0")),
        )
    )
    frame = (
        alt.Chart(alt.NamedData("one"))
        .mark_rect(filled=False, stroke="#888888", strokeWidth=1, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(side), y=alt.YValue(0), y2=alt.Y2Value(side))
    )
    chart = alt.layer(image, left, below, row, frame).properties(width=side, height=side)
    return finished(written(chart), state, datasets, {"left": 4, "right": 8, "top": 6, "bottom": 4})


def first_map(
    trace: Trace, column: int, entry: int = 0, head: int | None = None, side: int = _SIDE
) -> dict[str, Any]:
    """The map of a layer, mean over heads or one of them, as a Vega-Lite specification."""
    shown = window(trace, "window", entry, head)
    weights, first = shown.values, shown.query
    n = weights.shape[0]
    hidden = (
        np.triu(np.ones_like(weights, bool), 1)
        if is_causal(trace)
        else np.zeros_like(weights, bool)
    )
    opacity = np.where(hidden, 0, 255).astype(np.uint8)[..., None]
    image = png(np.concatenate([colors(weights, 0, 1, "weight"), opacity], -1))
    every = max(1, math.ceil(n / 36))
    tokens = trace.tokens
    labels = [{"at": i + 0.5, "text": short(tokens[first + i], 10)} for i in range(0, n, every)]
    state = {
        "n": n, "first": first, "col": column, **LIGHT,
    }  # fmt: skip
    rows = {
        "map": [{"x0": 0, "x1": n, "y0": 0, "y1": n, "url": data_uri(image)}],
        "labels": labels,
        "one": [{"o": 1}],
    }
    return tokenmap(side, state, rows)
