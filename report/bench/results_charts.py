"""The charts of a benchmark setting: time compared with a kernel without entropy, and the rate.

Each rival is a line with a colour and its name at the line's end, or a bar for a single size. The
rate of the fastest matrix product is a dashed line.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench.series import (
    LABEL_HEIGHT,
    Axis,
    Series,
    baseline,
    rate_axis,
    ratio_axis,
    series_of,
    spread_places,
)
from attentropy.report.bench.summary import rate_unit
from attentropy.report.figures.marks import dataset
from attentropy.report.figures.panels import COUNT_LABEL, Layout, ink_of, light_and_dark
from attentropy.report.figures.specification import Channels, Rows, VegaLite, layer
from attentropy.report.figures.specification import Row as Record

WIDE, MIDDLE, NARROW = Layout(360, 310, True), Layout(480, 270, False), Layout(190, 250, False)
_RATIO_LABEL = "format(datum.value, '~g') + '×'"
_WEIGHT = "datum.ours ? 'bold' : 'normal'"  # of a line's name
_GAP = 12  # pixels between a line's end and its name


def charts(results: Results, cases: list[int], layout: Layout) -> tuple[VegaLite, VegaLite]:
    """Return the specifications, light and dark, for the timed rows of `cases` of one setting."""
    unit, factor = rate_unit(results)
    base = baseline(results, cases)
    rows = [row for case in cases for row in results.of(case) if row.seconds]
    series = series_of(rows)
    peak = results.ceilings["flops_per_second"] / factor
    records = [_record_of(results, row, factor, base) for row in rows]
    datasets = {
        "rows": records,
        "ceiling": [{"rate": peak, "text": "matmul peak"}],
        "one": [{"ratio": 1.0}],
    }
    title, rate_title = f"Time compared with {base}", f"Rate ({unit})"
    if len(cases) > 1:
        ratio = ratio_axis(_values(records, "ratio_high"), layout.height)
        rate = rate_axis([*_values(records, "rate_high"), peak], layout.height)
        datasets |= {
            "ratio_names": _names(records, series, ratio, "ratio"),
            "rate_names": _names(records, series, rate, "rate"),
        }
        sizes = [results.cases[case].size for case in cases]
        x = alt.X("size:Q", title=results.cases[cases[0]].unit, axis=_size_axis(sizes),
                  scale=alt.Scale(type="log", nice=False))  # fmt: skip
        first = _panel(series, x, _y("ratio", ratio), layout, title)
        second = _panel(series, x, _y("rate", rate), layout, rate_title)
        line, peak_line = _one(_y("ratio", ratio)), _ceiling(_y("rate", rate))
    else:
        first = _bars(series, "ratio", layout, title)
        second = _bars(series, "rate", layout, rate_title)
        line, peak_line = _one(alt.X("ratio:Q")), _ceiling(alt.X("rate:Q"))
    return light_and_dark(
        (_over(line, first), _over(peak_line, second)), layout, 26,
        ("color", "shape"), datasets, (_config(series, False), _config(series, True)),
    )  # fmt: skip


def _over(below: VegaLite, panel: VegaLite) -> VegaLite:
    """Return the panel with another layer below its own."""
    return {**panel, "layer": [below, *panel["layer"]]}


def _values(records: Rows, field: str) -> list[float]:
    return [record[field] for record in records if record[field] is not None]


def _config(series: Sequence[Series], dark: bool) -> VegaLite:
    """Return the configuration: the colours of the rivals in their order, and of lines and text."""
    return {
        "range": {"category": [line.dark if dark else line.light for line in series]},
        "rule": {"color": ink_of(dark)},
        "text": {"color": ink_of(dark), "fontSize": 11},
        "title": {
            "color": ink_of(dark), "fontSize": 12, "fontWeight": 600, "anchor": "start",
            "frame": "group", "offset": 10,
        },
    }  # fmt: skip


def _record_of(results: Results, row: Row, factor: float, base: str) -> Record:
    low, middle, high = (value * 1e3 for value in row.seconds)
    rates = [row.flops / value / factor for value in row.seconds]
    own = next((r for r in results.of(row.case) if r.rival == base and r.seconds), None)
    ratios = [None] * 3 if own is None else [value / own.seconds[1] for value in row.seconds]
    return {
        "rival": row.rival, "ours": row.rival == results.ours,
        "size": results.cases[row.case].size, "ms": middle, "ms_low": low, "ms_high": high,
        "rate": rates[1], "rate_low": rates[2], "rate_high": rates[0],
        "ratio": ratios[1], "ratio_low": ratios[0], "ratio_high": ratios[2],
    }  # fmt: skip


def _names(records: Rows, series: Sequence[Series], axis: Axis, field: str) -> Rows:
    """Return the name of each line, and where line and name are on the axis; no name overlaps."""
    last: dict[str, Record] = {}
    for record in records:
        if record[field] is not None:
            last[record["rival"]] = record
    lines = [line for line in series if line.rival in last]
    ends = [axis.pixel(last[line.rival][field]) for line in lines]
    places = spread_places(ends, LABEL_HEIGHT, axis.pixels)
    return [
        {
            "rival": line.rival, "size": last[line.rival]["size"], "end": axis.value(end),
            "at": axis.value(place),
            "ours": last[line.rival]["ours"],
            "text": _name(line.rival, last[line.rival][field], field),
        }
        for line, end, place in zip(lines, ends, places, strict=True)
    ]  # fmt: skip


def _name(rival: str, value: float, field: str) -> str:
    name = rival if len(rival) <= 24 else rival[:23] + "…"
    return f"{name} {value:.2f}×" if field == "ratio" else name


def _size_axis(sizes: list[int]) -> alt.Axis:
    return alt.Axis(values=sizes, labelExpr=COUNT_LABEL)


def _y(field: str, axis: Axis) -> alt.Y:
    labels: Channels = {"tickCount": 6, "format": ",~f"}
    if field == "ratio":
        labels = {"labelExpr": _RATIO_LABEL}
        labels |= {"values": axis.ticks} if axis.is_log else {"tickCount": 5}
    kind = alt.Scale(domain=[axis.low, axis.high], nice=False, zero=False)
    if axis.is_log:
        kind = alt.Scale(domain=[axis.low, axis.high], nice=False, type="log", base=2)
    return alt.Y(f"{field}:Q", title=None, scale=kind, axis=alt.Axis(**labels))


def _styles(series: Sequence[Series]) -> Channels:
    """Return colour and shape per rival; the names at the lines' ends are the legend."""
    names = [line.rival for line in series]
    shapes = [line.shape for line in series]
    return {
        "color": alt.Color("rival:N", legend=None, scale=alt.Scale(domain=names)),
        "shape": alt.Shape("rival:N", legend=None, scale=alt.Scale(domain=names, range=shapes)),
    }


def _panel(
    series: Sequence[Series], x: alt.X, y: alt.Y, layout: Layout, title: str
) -> VegaLite:  # fmt: skip
    """Return lines through the medians, each with a bar from the 20 to the 80 % quantile."""
    styles = _styles(series)
    field = str(y.shorthand).split(":")[0]
    base = dataset("rows").encode(x=x, color=styles["color"])
    spread = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
        y=_same(y, f"{field}_low"), y2=alt.Y2(f"{field}_high")
    )
    lines = base.mark_line(strokeWidth=1.5).encode(y=y)
    ours = base.transform_filter("datum.ours").mark_line(strokeWidth=3.2).encode(y=y)
    points = base.mark_point(filled=True, size=38, opacity=1).encode(y=y, shape=styles["shape"])
    names = dataset(f"{field}_names")
    leaders = names.mark_rule(strokeWidth=0.8, opacity=0.7).encode(
        x=x, x2=alt.X2Value(layout.width + _GAP - 3), y=_same(y, "end"), y2=alt.Y2("at"),
        color=styles["color"],
    )  # fmt: skip
    texts = names.mark_text(align="left", baseline="middle", fontWeight={"expr": _WEIGHT}).encode(
        x=alt.XValue(layout.width + _GAP), y=_same(y, "at"), text="text:N", color=styles["color"]
    )
    return layer(
        lines, ours, spread, points, leaders, texts,
        width=layout.width, height=layout.height, title=title,
    )  # fmt: skip


def _same(y: alt.Y, field: str) -> alt.Y:
    """Return the channel of another field on the same scale."""
    channel = y.copy()
    channel.shorthand = f"{field}:Q"
    return channel


def _bars(series: Sequence[Series], field: str, layout: Layout, title: str) -> VegaLite:
    """Return a bar per rival for one size, the quantiles as a line across the end of the bar."""
    styles, names = _styles(series), [line.rival for line in series]
    y = alt.Y("rival:N", title=None, sort=names, axis=alt.Axis(labelLimit=150, ticks=False))
    labels: Channels = {"labelExpr": _RATIO_LABEL} if field == "ratio" else {"format": ",~f"}
    x = alt.X(f"{field}:Q", title=None, axis=alt.Axis(tickCount=5, **labels))
    base = dataset("rows").encode(y=y)
    bars = base.mark_bar(height=12).encode(x=x, color=styles["color"])
    spread = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X(f"{field}_low:Q"), x2=alt.X2(f"{field}_high")
    )
    written = f"format(datum.{field}, {chr(39)}.2f{chr(39)}) + '×'"
    if field == "rate":
        written = f"format(datum.{field}, {chr(39)},.3~r{chr(39)})"
    values = (
        base.transform_calculate(written=written)
        .mark_text(align="left", baseline="middle", dx=6)
        .encode(x=alt.X(f"{field}_high:Q"), text="written:N")
    )
    width = layout.width if layout.side_by_side else layout.width - 20
    return layer(bars, spread, values, width=width, height=24 * len(names), title=title)


def _one(channel: alt.X | alt.Y) -> VegaLite:
    """Return a line at the ratio 1."""
    place: Channels = {"x": channel} if isinstance(channel, alt.X) else {"y": channel}
    return layer(dataset("one").mark_rule(strokeDash=[2, 3], opacity=0.8).encode(**place))


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
