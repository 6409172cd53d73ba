"""Entropy against the position: mean and range of the heads of a layer, under ln(visible)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.figures.marks import data, finished, words, written
from attentropy.report.palette import LIGHT
from attentropy.report.read.visible import visible_keys

WIDE, NARROW = (1010, 210), (290, 190)
_BELOW = 130  # points of the ceiling


def spread(
    size: tuple[int, int],
    state: Mapping[str, Any],
    datasets: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """The specification.

    Parameters: n, top (nats), colours. Datasets: heads {x, mean, low, high} with x
    the middle of a tile, ceiling {x, y}, note."""
    ink = alt.ExprRef("ink")
    look: dict[str, Any] = {
        "labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink,
        "gridColor": ink, "gridOpacity": 0.12, "titleFontWeight": "normal", "titleFontSize": 11,
    }  # fmt: skip
    wide = size[0] > 500
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, alt.ExprRef("n")], nice=False),
        axis=alt.Axis(title="query (position)", grid=False, format=",d", tickCount=8 if wide else 3,
                      **look),
    )  # fmt: skip
    y_axis = alt.Axis(title="attention entropy (nats)", tickCount=5, **look)
    y: dict[str, Any] = {
        "scale": alt.Scale(domain=[0, alt.ExprRef("top")], nice=False), "axis": y_axis,
    }  # fmt: skip
    band = (
        data("heads")
        .mark_area(color=alt.ExprRef("blue"), opacity=0.22, clip=True)
        .encode(x=x, y=alt.Y("low:Q", **y), y2="high:Q")
    )
    line = (
        data("heads")
        .mark_line(color=alt.ExprRef("blue"), strokeWidth=1.6, clip=True)
        .encode(x=x, y=alt.Y("mean:Q", **y))
    )
    ceiling = (
        data("ceiling")
        .mark_line(color=ink, strokeWidth=1.2, strokeDash=[5, 3], clip=True)
        .encode(x=x, y=alt.Y("y:Q", **y))
    )
    note = words("note", x=alt.XValue(size[0] - 6), y=alt.YValue(-7), align="right",
                 baseline="bottom", fontSize=11)  # fmt: skip
    chart = alt.layer(band, ceiling, line, note).properties(width=size[0], height=size[1])
    return finished(
        written(chart), state, datasets, {"left": 6, "right": 20, "top": 22, "bottom": 6}
    )


def first_spread(
    trace: Trace, attention: planes.Attention, layer: int, size: tuple[int, int], high: float
) -> dict[str, Any]:
    """One layer as a Vega-Lite specification."""
    heads, n = attention.heads[layer], attention.mean.shape[1]
    there = np.isfinite(heads).any(0)
    points = [
        {"x": (i + 0.5) * attention.step, "mean": float(np.nanmean(column)),
         "low": float(np.nanmin(column)), "high": float(np.nanmax(column))}
        for i, column in enumerate(heads.T) if there[i]
    ]  # fmt: skip
    rows: dict[str, Any] = {
        "heads": points,
        "ceiling": ceiling(trace, layer, n),
        "note": [{"text": NOTE}],
    }
    return spread(size, {"n": n, "top": high * 1.04, **LIGHT}, rows)


NOTE = "line: mean over heads, band: lowest to highest head, dashed: ln(visible keys)"


def ceiling(trace: Trace, layer: int, n: int) -> list[dict[str, float]]:
    """ln of the visible keys at positions that lie denser where the curve bends."""
    lines = visible_keys(trace)
    if lines is None:
        return []
    at = sorted({min(n - 1, round((i / _BELOW) ** 3 * (n - 1))) for i in range(_BELOW + 1)})
    points = ((x, _ln_visible(lines[layer], x)) for x in at)
    return [{"x": x + 0.5, "y": y} for x, y in points if math.isfinite(y)]


def ceilings_at(trace: Trace, layer: int, positions: Sequence[int]) -> list[float]:
    """ln of the visible keys at positions; NaN where there are none, or none recorded."""
    lines = visible_keys(trace)
    if lines is None:
        return [math.nan] * len(positions)
    return [_ln_visible(lines[layer], x) for x in positions]


def _ln_visible(lines: Sequence[Sequence[int]], position: int) -> float:
    start, count, rise = [line for line in lines if line[0] <= position][-1]
    seen = count + rise * (position - start)
    return math.log(seen) if seen >= 1 else math.nan
