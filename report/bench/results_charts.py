"""The charts of a benchmark setting: time and rate against size, with one line per rival.

The rate of the fastest matrix product is a dashed line.
"""

from __future__ import annotations

import altair as alt

from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench.summary import rate_unit
from attentropy.report.figures.marks import dataset
from attentropy.report.figures.panels import COUNT_LABEL, Layout, ink_of, light_and_dark
from attentropy.report.figures.specification import Channels, VegaLite, layer
from attentropy.report.figures.specification import Row as Record

# The colours of each group on a light and on a dark page; rivals of a group differ in shape.
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
_UNKNOWN_GROUP = "other"

WIDE, NARROW = Layout(390, 330, True), Layout(300, 250, False)


def charts(results: Results, cases: list[int], layout: Layout) -> tuple[VegaLite, VegaLite]:
    """Return the specifications, light and dark, for the timed rows of `cases` of one setting."""
    unit, factor = rate_unit(results)
    timed_rows = [row for case in cases for row in results.of(case) if row.seconds]
    rivals = {
        row.rival: row.group if row.group in _GROUPS else _UNKNOWN_GROUP for row in timed_rows
    }
    datasets = {
        "rows": [_record_of(results, row, factor) for row in timed_rows],
        "ceiling": [{"rate": results.ceilings["flops_per_second"] / factor, "text": "matmul peak"}],
    }
    if len(cases) > 1:
        sizes = [results.cases[case].size for case in cases]
        x = alt.X("size:Q", title=results.cases[cases[0]].unit, axis=_size_axis(sizes),
                  scale=alt.Scale(type="log", nice=False))  # fmt: skip
        times = _panel(rivals, x, _y("ms", "time (ms)", log=True), layout)
        rates = _panel(rivals, x, _y("rate", unit, log=False), layout)
        ceiling = _ceiling(alt.Y("rate:Q"))
    else:
        times = _bars(rivals, "ms", "time (ms)", layout)
        rates = _bars(rivals, "rate", unit, layout)
        ceiling = _ceiling(alt.X("rate:Q"))
    groups = list(rivals.values())
    return light_and_dark(
        (times, layer(ceiling, rates)), layout, 26, ("color", "shape", "strokeDash"), datasets,
        (_config(layout, groups, False), _config(layout, groups, True)),
    )  # fmt: skip


def _config(layout: Layout, groups: list[str], dark: bool) -> VegaLite:
    """Return the configuration: the colours of the rivals in their order, and of lines and text."""
    return {
        "range": {"category": [_GROUPS[group][dark] for group in groups]},
        "rule": {"color": ink_of(dark)},
        "text": {"color": ink_of(dark)},
        "legend": {"labelLimit": 190 if layout.side_by_side else 140, "symbolSize": 60},
    }


def _record_of(results: Results, row: Row, factor: float) -> Record:
    low, middle, high = (value * 1e3 for value in row.seconds)
    rates = [row.flops / value / factor for value in row.seconds]
    return {
        "rival": row.rival, "ours": row.rival == results.ours,
        "size": results.cases[row.case].size, "ms": middle, "ms_low": low, "ms_high": high,
        "rate": rates[1], "rate_low": rates[2], "rate_high": rates[0],
    }  # fmt: skip


def _size_axis(sizes: list[int]) -> alt.Axis:
    return alt.Axis(values=sizes, labelExpr=COUNT_LABEL)


def _y(field: str, title: str, *, log: bool) -> alt.Y:
    scale = alt.Scale(type="log") if log else alt.Scale(zero=True)
    axis = alt.Axis(format=",~f", tickCount=6)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)


def _styles(rivals: dict[str, str], *, legend: bool) -> Channels:
    """Return colour, shape and dash per rival, joined in one legend."""
    names, groups = list(rivals), list(rivals.values())
    shapes = [_SHAPES[groups[:i].count(group) % len(_SHAPES)] for i, group in enumerate(groups)]
    key: alt.Legend | None = alt.Legend(title=None) if legend else None
    title = "rival"
    return {
        "color": alt.Color("rival:N", title=title, legend=key, scale=alt.Scale(domain=names)),
        "shape": alt.Shape("rival:N", title=title, legend=key, scale=alt.Scale(
            domain=names, range=shapes)),
        "strokeDash": alt.StrokeDash("rival:N", legend=None, scale=alt.Scale(
            domain=names, range=[_DASHES.get(group, [1, 0]) for group in groups])),
    }  # fmt: skip


def _panel(rivals: dict[str, str], x: alt.X, y: alt.Y, layout: Layout) -> VegaLite:
    """Return lines through the medians, each with a bar from the 20 to the 80 % quantile."""
    styles = _styles(rivals, legend=True)
    field = str(y.shorthand).split(":")[0]
    base = dataset("rows").encode(x=x, color=styles["color"])
    spread = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
        y=alt.Y(f"{field}_low:Q"), y2=alt.Y2(f"{field}_high")
    )
    lines = base.mark_line(strokeWidth=1.3).encode(y=y, strokeDash=styles["strokeDash"])
    ours = base.transform_filter("datum.ours").mark_line(strokeWidth=3.2).encode(y=y)
    points = base.mark_point(filled=True, size=38, opacity=1).encode(y=y, shape=styles["shape"])
    return layer(lines, ours, spread, points, width=layout.width, height=layout.height)


def _bars(rivals: dict[str, str], field: str, title: str, layout: Layout) -> VegaLite:
    """Return a bar per rival for one size, the quantiles as a line across the end of the bar."""
    styles = _styles(rivals, legend=False)
    y = alt.Y("rival:N", title=None, sort=list(rivals), axis=alt.Axis(labelLimit=150, ticks=False))
    x = alt.X(f"{field}:Q", title=title, axis=alt.Axis(format=",~f", tickCount=5))
    base = dataset("rows").encode(y=y)
    bars = base.mark_bar(height=12).encode(x=x, color=styles["color"])
    spread = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X(f"{field}_low:Q"), x2=alt.X2(f"{field}_high")
    )
    width = layout.width - 20 if layout.side_by_side else layout.width - 100
    return layer(bars, spread, width=width, height=24 * len(rivals))


def _ceiling(channel: alt.X | alt.Y) -> VegaLite:
    """Return a dashed line at the rate of the matrix product, with its name."""
    base = dataset("ceiling")
    is_vertical = isinstance(channel, alt.X)
    rule = base.mark_rule(strokeDash=[2, 3], opacity=0.8)
    name = base.mark_text(
        fontSize=11, align="right" if is_vertical else "left",
        baseline="bottom", dx=-4 if is_vertical else 4, dy=-3,
    ).encode(text=alt.Text("text:N"))  # fmt: skip
    place: Channels = {"x": channel} if is_vertical else {"y": channel}
    edge: Channels = {"y": alt.YValue(0)} if is_vertical else {"x": alt.XValue(0)}
    return layer(rule.encode(**place), name.encode(**place, **edge))
