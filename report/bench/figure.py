"""The figure of a setting: time and rate against size, one line a rival, the ceiling dashed."""

from __future__ import annotations

from typing import Any

import altair as alt

from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench.summary import rate_unit
from attentropy.report.figures.marks import Layers, data
from attentropy.report.figures.panels import Layout, ink, light_and_dark

# A colour for each group, on a light and on a dark page; its rivals differ in shape.
_GROUPS = {
    "ours": ("#7b3294", "#c390d8"),
    "ceiling": ("#5a6070", "#a3abba"),
    "twice": ("#b2182b", "#f4796b"),
    "once": ("#c05a00", "#f0a04b"),
    "sweep": ("#1b7837", "#5fbf7a"),
    "eager": ("#7a5c14", "#d3b35a"),
    "other": ("#b2182b", "#f4796b"),
    "second": ("#2c5fb3", "#7fb0ff"),
}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_DASHES: dict[str, list[int]] = {"ours": [1, 0], "ceiling": [5, 3], "second": [2, 2]}
_UNKNOWN = "other"


WIDE, NARROW = Layout(390, 330, True), Layout(300, 250, False)


def charts(
    results: Results, cases: list[int], layout: Layout
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Vega-Lite specifications of the timed rows of `cases`, one setting: light and dark."""
    unit, factor = rate_unit(results)
    timed = [row for case in cases for row in results.of(case) if row.seconds]
    rivals = {row.rival: row.group if row.group in _GROUPS else _UNKNOWN for row in timed}
    datasets = {
        "rows": [_record(results, row, factor) for row in timed],
        "ceiling": [
            {"rate": results.ceilings["flops_per_second"] / factor, "text": "matrix product"}
        ],
    }
    if len(cases) > 1:
        sizes = [results.cases[case].size for case in cases]
        x = alt.X("size:Q", title=results.cases[cases[0]].unit, axis=_sizes(sizes),
                  scale=alt.Scale(type="log", nice=False))  # fmt: skip
        times = _panel(rivals, x, _y("ms", "time (ms)", log=True), layout)
        reached = _panel(rivals, x, _y("rate", unit, log=False), layout)
        limit = _ceiling(alt.Y("rate:Q"))
    else:
        times = _bars(rivals, "ms", "time (ms)", layout)
        reached = _bars(rivals, "rate", unit, layout)
        limit = _ceiling(alt.X("rate:Q"))
    groups = list(rivals.values())
    return light_and_dark(
        (times, alt.layer(limit, reached)), layout, 26, ("color", "shape", "strokeDash"), datasets,
        (_own(layout, groups, False), _own(layout, groups, True)),
    )  # fmt: skip


def _own(layout: Layout, groups: list[str], dark: bool) -> dict[str, Any]:
    """The colours of the rivals in their order, and of what is written among them."""
    return {
        "range": {"category": [_GROUPS[group][dark] for group in groups]},
        "rule": {"color": ink(dark)},
        "text": {"color": ink(dark)},
        "legend": {"labelLimit": 190 if layout.beside else 140, "symbolSize": 60},
    }


def _record(results: Results, row: Row, factor: float) -> dict[str, Any]:
    low, middle, high = (value * 1e3 for value in row.seconds)
    rates = [row.flops / value / factor for value in row.seconds]
    return {
        "rival": row.rival, "ours": row.rival == results.ours,
        "size": results.cases[row.case].size, "ms": middle, "ms_low": low, "ms_high": high,
        "rate": rates[1], "rate_low": rates[2], "rate_high": rates[0],
    }  # fmt: skip


def _sizes(sizes: list[int]) -> alt.Axis:
    k = "datum.value >= 1024 && datum.value % 1024 == 0"
    return alt.Axis(
        values=sizes, labelExpr=f"{k} ? datum.value / 1024 + 'k' : format(datum.value, ',')"
    )


def _y(field: str, title: str, *, log: bool) -> alt.Y:
    scale = alt.Scale(type="log") if log else alt.Scale(zero=True)
    axis = alt.Axis(format=",~f", tickCount=6)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)


def _looks(rivals: dict[str, str], *, legend: bool) -> dict[str, Any]:
    """Colour, shape and dash by rival, as one legend."""
    names, groups = list(rivals), list(rivals.values())
    shapes = [_SHAPES[groups[:i].count(group) % len(_SHAPES)] for i, group in enumerate(groups)]
    key: Any = alt.Legend(title=None) if legend else None
    title = "rival"
    return {
        "color": alt.Color("rival:N", title=title, legend=key, scale=alt.Scale(domain=names)),
        "shape": alt.Shape("rival:N", title=title, legend=key, scale=alt.Scale(
            domain=names, range=shapes)),
        "strokeDash": alt.StrokeDash("rival:N", legend=None, scale=alt.Scale(
            domain=names, range=[_DASHES.get(group, [1, 0]) for group in groups])),
    }  # fmt: skip


def _panel(rivals: dict[str, str], x: alt.X, y: alt.Y, layout: Layout) -> Layers:
    """Lines through the medians, a bar from the 20 to the 80 % quantile at each."""
    looks = _looks(rivals, legend=True)
    field = str(y.shorthand).split(":")[0]
    base = data("rows").encode(x=x, color=looks["color"])
    spread = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
        y=alt.Y(f"{field}_low:Q"), y2=f"{field}_high"
    )
    lines = base.mark_line(strokeWidth=1.3).encode(y=y, strokeDash=looks["strokeDash"])
    ours = base.transform_filter("datum.ours").mark_line(strokeWidth=3.2).encode(y=y)
    points = base.mark_point(filled=True, size=38, opacity=1).encode(y=y, shape=looks["shape"])
    marks = alt.layer(lines, ours, spread, points)
    return marks.properties(width=layout.width, height=layout.height)


def _bars(rivals: dict[str, str], field: str, title: str, layout: Layout) -> Layers:
    """One size: a bar for each rival, the quantiles as a line across its end."""
    looks = _looks(rivals, legend=False)
    y = alt.Y("rival:N", title=None, sort=list(rivals), axis=alt.Axis(labelLimit=150, ticks=False))
    x = alt.X(f"{field}:Q", title=title, axis=alt.Axis(format=",~f", tickCount=5))
    base = data("rows").encode(y=y)
    bars = base.mark_bar(height=12).encode(x=x, color=looks["color"])
    spread = base.mark_rule(strokeWidth=1.5).encode(x=alt.X(f"{field}_low:Q"), x2=f"{field}_high")
    width = layout.width - 20 if layout.beside else layout.width - 100
    return alt.layer(bars, spread).properties(width=width, height=24 * len(rivals))


def _ceiling(at: alt.X | alt.Y) -> Layers:
    """The matrix product's rate, named."""
    base = data("ceiling")
    upright = isinstance(at, alt.X)
    rule = base.mark_rule(strokeDash=[2, 3], opacity=0.8)
    words = base.mark_text(
        fontSize=11, align="right" if upright else "left",
        baseline="bottom", dx=-4 if upright else 4, dy=-3,
    ).encode(text="text:N")  # fmt: skip
    place: dict[str, Any] = {"x": at} if upright else {"y": at}
    edge: dict[str, Any] = {"y": alt.YValue(0)} if upright else {"x": alt.XValue(0)}
    return alt.layer(rule.encode(**place), words.encode(**place, **edge))
