"""One statistic over the layers: its mean, the range around it, and a uniform row's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.report.figures.marks import data, finished, written
from attentropy.report.palette import LIGHT
from attentropy.report.read.layers import Curve

SIZE = (222, 128)
_POINTS = 48  # layers up to which each has a point


def layerpanel(curve: Curve, labels: Sequence[str]) -> dict[str, Any]:
    """The specification; `labels` names the layers, first at the left."""
    ink, blue = alt.ExprRef("ink"), alt.ExprRef("blue")
    look: dict[str, Any] = {
        "labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink,
        "gridColor": ink, "gridOpacity": 0.12, "titleFontWeight": "normal", "titleFontSize": 11,
        "labelFontSize": 11,
    }  # fmt: skip
    last = max(1, len(labels) - 1)
    named = "labels[datum.value]"
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, last], nice=False, padding=6),
        axis=alt.Axis(title="layer", grid=False, tickMinStep=1, tickCount=min(8, last),
                      labelExpr=named, **look),
    )  # fmt: skip
    share = curve.top == 1.0
    scale = alt.Scale(domain=[0, curve.top if share else _end(curve)], nice=not share)
    axis = alt.Axis(title=None, tickCount=4, format="%" if share else "~g", **look)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", scale=scale, axis=axis)

    line: dict[str, Any] = {"color": blue, "strokeWidth": 1.8}
    if len(labels) <= _POINTS:
        line["point"] = {"color": blue, "size": 22}
    parts: list[alt.Chart] = []
    if curve.low is not None:
        parts.append(
            data("layers").mark_area(color=blue, opacity=0.22).encode(x=x, y=y("low"), y2="high:Q")
        )
    if curve.uniform is not None:
        parts.append(
            data("layers")
            .mark_line(color=ink, strokeWidth=1.2, strokeDash=[5, 3])
            .encode(x=x, y=y("uniform"))
        )
    parts.append(data("layers").mark_line(**line).encode(x=x, y=y("mean")))
    chart = alt.layer(*parts).properties(width=SIZE[0], height=SIZE[1])
    return finished(
        {**written(chart), "autosize": {"type": "pad", "contains": "padding"}},
        {"labels": list(labels), **LIGHT},
        {"layers": _rows(curve)},
        {"left": 2, "right": 8, "top": 6, "bottom": 2},
    )


def _end(curve: Curve) -> float:
    """The largest value drawn."""
    drawn = [part for part in (curve.mean, curve.high, curve.uniform) if part is not None]
    return max(float(np.nanmax(np.concatenate(drawn))), 1e-6)


def _rows(curve: Curve) -> list[dict[str, Any]]:
    fields = {"mean": curve.mean, "low": curve.low, "high": curve.high, "uniform": curve.uniform}
    known = {name: values for name, values in fields.items() if values is not None}
    return [
        {"x": i}
        | {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in known.items()}
        for i in range(len(curve.mean))
    ]  # fmt: skip
