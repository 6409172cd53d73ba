"""A panel of one statistic over the layers: its mean, its range, and the value of a uniform row."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from attentropy.report.figures.marks import BLUE, INK, dataset
from attentropy.report.figures.specification import (
    PERCENT_LABEL,
    Channels,
    Rows,
    VegaLite,
    axis_style,
    layer,
    specification,
)
from attentropy.report.palette import LIGHT
from attentropy.report.read.curves import Curve

SIZE = (222, 128)
_MOST_POINTS = 48  # with more layers than that, the line has no points


def layerpanel(curve: Curve, labels: Sequence[str]) -> VegaLite:
    """Return the specification; `labels` are the names of the layers, the first one at the left."""
    x, y_scale, y_axis = _axes(curve, max(1, len(labels) - 1))

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", scale=y_scale, axis=y_axis)

    line: Channels = {"color": BLUE, "strokeWidth": 1.8}
    if len(labels) <= _MOST_POINTS:
        line["point"] = {"color": BLUE, "size": 22}
    base = dataset("layers")
    marks: list[alt.Chart] = []
    if curve.low is not None:
        band = base.mark_area(color=BLUE, opacity=0.22)
        marks.append(band.encode(x=x, y=y("low"), y2=alt.Y2("high:Q")))
    if curve.uniform is not None:
        dashes = base.mark_line(color=INK, strokeWidth=1.2, strokeDash=[5, 3])
        marks.append(dashes.encode(x=x, y=y("uniform")))
    marks.append(base.mark_line(**line).encode(x=x, y=y("mean")))
    chart = layer(*marks, width=SIZE[0], height=SIZE[1])
    return specification(
        {**chart, "autosize": {"type": "pad", "contains": "padding"}},
        {"labels": list(labels), **LIGHT},
        {"layers": _rows(curve)},
        {"left": 2, "right": 8, "top": 6, "bottom": 2},
    )


def _axes(curve: Curve, last: int) -> tuple[alt.X, alt.Scale, alt.Axis]:
    """Return the horizontal channel, and scale and axis of the vertical ones."""
    style = axis_style(labelFontSize=11)
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, last], nice=False, padding=6),
        axis=alt.Axis(title="layer", grid=False, tickMinStep=1, tickCount=min(8, last),
                      labelExpr="labels[datum.value]", **style),
    )  # fmt: skip
    is_share = curve.top is not None
    end = curve.top if curve.top is not None else _largest(curve)
    scale = alt.Scale(domain=[curve.bottom, end], nice=not is_share, clamp=True)
    is_percent = is_share and curve.is_percent
    labels: Channels = {"labelExpr": PERCENT_LABEL} if is_percent else {"format": ",~r"}
    axis = alt.Axis(title=None, tickCount=4, **labels, **style)
    return x, scale, axis


def _largest(curve: Curve) -> float:
    """Return the largest value that is drawn."""
    curves = [values for values in (curve.mean, curve.high, curve.uniform) if values is not None]
    return max(float(np.nanmax(np.concatenate(curves))), 1e-6)


def _rows(curve: Curve) -> Rows:
    fields = {"mean": curve.mean, "low": curve.low, "high": curve.high, "uniform": curve.uniform}
    available = {name: values for name, values in fields.items() if values is not None}
    return [
        {"x": i}
        | {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in available.items()}
        for i in range(len(curve.mean))
    ]  # fmt: skip
