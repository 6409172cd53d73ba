"""How far back the heads attend: shares by distance, shares that windows hold, windows of heads.

A line for each head, blue or orange where it needs more than half of the prompt; of very many heads
those at even steps of the order by window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from attentropy.engine.trace.context import SHARES, ContextUse
from attentropy.report.figures.marks import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    colour_ramp,
    dataset,
    picture,
    text_mark,
    unit_scale,
    x_scale,
    y_scale,
)
from attentropy.report.figures.specification import (
    PERCENT_LABEL,
    Rows,
    VegaLite,
    axis_style,
    layer,
    ramp_rows,
    specification,
)
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors, ramp
from attentropy.report.units import percent

WIDE, NARROW = 1010, 330  # pixels of the whole chart
_SIDE_BY_SIDE = 640  # pixels from which on the panels stand side by side
_MOST_LINES = 300
_COLOURS = "weight"
_HEIGHT = 230
_LEGEND = 12
_FIRST = -2  # where the first keys stand, apart from bin 0
_STEPS = 64  # of the legend


def context_chart(use: ContextUse, labels: Sequence[str], width: int) -> VegaLite:
    """Return the chart for `width` pixels; `labels` are the names of the layers."""
    is_wide = width >= _SIDE_BY_SIDE
    side = (width - 330) // 3 if is_wide else width - 90
    heads = _heads_with_lines(use)
    distances = {_FIRST: "first 4", **{b: _tokens(int(s)) for b, s in enumerate(use.bins[1:])}}
    sizes = {b: _tokens(1 << b) for b in range(len(use.bins) - 1)}
    masses = _panel(
        "masses", "share of attention", "distance to the key (tokens)", distances, side,
        float(np.nanmax(use.mass)),
    )  # fmt: skip
    shares_of_windows = _panel(
        "held", "share of attention besides the first four", "window (tokens)", sizes, side, 1.0,
        SHARES[0],
    )  # fmt: skip
    views = {
        "hconcat" if is_wide else "vconcat": [masses, shares_of_windows, _grid(use, side)],
        "spacing": 34 if is_wide else 26,
    }
    mass, windows = use.mass[..., 1:].astype(np.float64), use.windows(SHARES[0])
    rest = mass.sum(-1, keepdims=True)
    shares = np.cumsum(mass, -1) / np.where(rest > 0, rest, np.nan)
    first, uniform = use.mass[..., :1], use.uniform[:, 1:].astype(np.float64)
    uniform_shares = np.cumsum(uniform, -1) / np.maximum(uniform.sum(-1, keepdims=True), 1e-9)
    return specification(
        views, {"heads": windows.shape[1], "rowcount": len(windows), **LIGHT},
        {
            "masses": _lines(use, heads, mass), "massesmedian": _median(use, mass),
            "massesfirst": _lines(use, heads, first, _FIRST),
            "massesfirstmedian": _median(use, first, _FIRST),
            "held": _lines(use, heads, shares), "heldmedian": _median(use, shares),
            "heldfirst": [], "heldfirstmedian": [], "heldfirstuniform": [],
            "massesuniform": _means(uniform), "helduniform": _means(uniform_shares),
            "massesfirstuniform": _means(use.uniform[:, :1], _FIRST),
            "one": [{"o": 1}], **_cells(use, windows, labels, side),
        },
        {"left": 8, "right": 34, "top": 16, "bottom": 4},
    )  # fmt: skip


def lines_sentence(use: ContextUse) -> str:
    """Return what the lines and the colours are."""
    shown = ""
    if use.heads > _MOST_LINES:
        shown = f" ({_MOST_LINES} of {use.heads:,}, evenly by window)"
    return (
        f"Thin lines: one head each{shown}, orange where its window for {percent(SHARES[0])} is "
        f"larger than {use.half:,} tokens; thick: the median of the heads; dashed line and dot: "
        f"uniform attention; dotted: {percent(SHARES[0])}; “first 4”: the first four tokens. "
        f"Cells: that window of each head, from white (1 token) to dark blue "
        f"({int(use.limits.max()):,}); grey: not measured."
    )


def _heads_with_lines(use: ContextUse) -> list[tuple[int, int, bool]]:
    """Return the heads that have a line: layer, head, and whether the head is far."""
    places = np.argwhere(use.is_measured)
    windows, far = use.windows(SHARES[0]), use.is_far()
    order = np.argsort([windows[i, h] for i, h in places], kind="stable")
    if len(order) > _MOST_LINES:
        order = order[np.linspace(0, len(order) - 1, _MOST_LINES).round().astype(int)]
    return [(int(i), int(h), bool(far[i, h])) for i, h in places[order]]


def _lines(
    use: ContextUse, heads: Sequence[tuple[int, int, bool]], values: np.ndarray, first: int = 0
) -> Rows:
    """Return the points of the heads' lines, up to the bin that the layer lets a query see."""
    rows: Rows = []
    for number, (i, h, is_far) in enumerate(heads):
        bins = 1 + min(len(use.bins) - 2, int(use.limits[i] - 1).bit_length())
        rows += [
            {"head": number, "x": first + b, "y": float(y), "far": is_far}
            for b, y in enumerate(values[i, h, :bins]) if math.isfinite(y)
        ]  # fmt: skip
    return rows


def _median(use: ContextUse, values: np.ndarray, first: int = 0) -> Rows:
    own = values[use.is_measured]
    middle = [float(np.nanmedian(column)) for column in own.T if np.isfinite(column).any()]
    return [{"x": first + b, "y": y} for b, y in enumerate(middle)]


def _means(values: np.ndarray, first: int = 0) -> Rows:
    """Return the means over the layers as points."""
    own = values[np.isfinite(values).all(1)]
    return [{"x": first + b, "y": float(column.mean())} for b, column in enumerate(own.T)]


def _tokens(number: int) -> str:
    return f"{number // 1024}k" if number >= 1024 else str(number)


def _panel(
    name: str, title: str, below: str, labels: Mapping[int, str], side: int, top: float,
    line: float | None = None,
) -> VegaLite:  # fmt: skip
    """Return the panel of the heads' lines `name` over the bins `labels`, and of their median.

    What stands apart from the lines, the first keys, is a tick for each head.
    """
    style = axis_style(labelFontSize=11)
    step = max(1, -(-len(labels) * 30 // side))  # a label takes some 30 pixels
    shown = {b: text for b, text in labels.items() if b < 0 or b % step == 0}
    x = alt.X(
        "x:Q", scale=alt.Scale(domain=[min(labels), max(labels)], nice=False, padding=8),
        axis=alt.Axis(
            title=below, grid=False, values=list(shown), labelExpr=f"{_texts(shown)}[datum.value]",
            labelFlush=False, labelOverlap=False, **style,
        ),
    )  # fmt: skip
    scale = alt.Scale(domain=[0, top], nice=top < 1, zero=True)
    y = alt.Y(
        "y:Q", scale=scale,
        axis=alt.Axis(title=title, tickCount=5, labelExpr=PERCENT_LABEL, **style),
    )  # fmt: skip
    marks = []
    for is_far, colour in ((False, BLUE), (True, ORANGE)):
        own = f"{'' if is_far else '!'}datum.far"
        base, firsts = (dataset(n).transform_filter(own) for n in (name, f"{name}first"))
        lines = base.mark_line(color=colour, strokeWidth=1, opacity=0.3)
        ticks = firsts.mark_tick(color=colour, orient="horizontal", size=14, opacity=0.35)
        marks += [lines.encode(x=x, y=y, detail="head:N"), ticks.encode(x=x, y=y)]
    if line is not None:
        limit = dataset("one").mark_rule(color=MUTED, strokeDash=[1.5, 3], strokeWidth=1.2)
        marks.append(limit.encode(y=alt.YDatum(line, scale=scale)))
    median = dataset(f"{name}median").mark_line(color=INK, strokeWidth=2.2)
    uniform = dataset(f"{name}uniform").mark_line(color=INK, strokeWidth=1.2, strokeDash=[5, 3])
    dot = dataset(f"{name}firstuniform").mark_point(color=INK, filled=True, size=16, opacity=1)
    first = dataset(f"{name}firstmedian").mark_tick(
        color=INK, orient="horizontal", size=18, thickness=2.4
    )
    return layer(
        *marks, *(mark.encode(x=x, y=y) for mark in (uniform, dot, median, first)), width=side,
        height=_HEIGHT,
    )  # fmt: skip


def _texts(labels: Mapping[int, str]) -> str:
    """Return labels as an expression's object."""
    return "{" + ", ".join(f"'{at}': '{text}'" for at, text in labels.items()) + "}"


def _grid(use: ContextUse, side: int) -> VegaLite:
    """Return the window of each head as a cell, with the colours' scale at its right."""
    cells = picture("cells", ("0", "heads"), y_scale("y0:Q"))
    texts = (
        text_mark("rowlabels", x=alt.XValue(-6), y=y_scale("at:Q"), align="right",
                  baseline="middle", fontSize=11),
        text_mark("headlabels", x=x_scale("at:Q", "0", "heads"), y=alt.YValue(_HEIGHT + 12),
                  align="center", baseline="middle", fontSize=11),
        text_mark("rowtitle", x=alt.XValue(-34), y=alt.YValue(_HEIGHT / 2), align="center",
                  baseline="bottom", angle=270, fontSize=11),
        text_mark("headtitle", x=alt.XValue(side / 2), y=alt.YValue(_HEIGHT + 28),
                  align="center", baseline="middle", fontSize=11),
        text_mark("gridtitle", x=alt.XValue(0), y=alt.YValue(-6), align="left",
                  baseline="bottom", fontSize=11),
    )  # fmt: skip
    ticks = text_mark("ticks", x=alt.XValue(_LEGEND + 5), y=unit_scale("y:Q"), align="left",
                      baseline="middle", fontSize=11)  # fmt: skip
    return {
        "hconcat": [
            layer(cells, *texts, width=side, height=_HEIGHT),
            layer(colour_ramp(0, _LEGEND), ticks, width=_LEGEND, height=_HEIGHT),
        ],
        "spacing": 10,
        "bounds": "flush",
    }


def _cells(
    use: ContextUse, windows: np.ndarray, labels: Sequence[str], side: int
) -> dict[str, Rows]:
    """Return the datasets of the cells, their labels and their colours."""
    layers, heads = windows.shape
    top = max(1.0, math.log2(use.limits.max()))
    values = np.where(windows > 0, np.log2(np.maximum(windows, 1)), np.nan)
    image = data_uri(png(colors(values[::-1], 0, top, _COLOURS)))
    step, across = max(1, -(-layers // 12)), max(1, -(-heads // max(4, side // 26)))
    marks = [b for b in range(0, int(top) + 1, max(1, -(-int(top) // 6))) if b < top - 0.6]
    ticks = [{"y": b / top, "text": _tokens(1 << b)} for b in marks]
    return {
        "cells": [{"x0": 0, "x1": heads, "y0": 0, "y1": layers, "url": image}],
        "rowlabels": [{"at": i + 0.5, "text": labels[i]} for i in range(0, layers, step)],
        "headlabels": [{"at": h + 0.5, "text": str(h)} for h in range(0, heads, across)],
        "rowtitle": [{"text": "layer"}],
        "headtitle": [{"text": "head"}],
        "gridtitle": [{"text": f"window for {percent(SHARES[0])} (tokens)"}],
        "legend": ramp_rows(ramp(_COLOURS, _STEPS)),
        "ticks": [*ticks, {"y": 1, "text": f"{int(use.limits.max()):,}"}],
    }
