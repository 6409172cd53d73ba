"""The figure of a profile: the time of each layer by part, and the parts' shares per chunk."""

from __future__ import annotations

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.marks import dataset
from attentropy.report.figures.panels import COUNT_LABEL, Layout, ink_of, light_and_dark
from attentropy.report.figures.specification import PERCENT_LABEL, Rows, VegaLite, view

# Part: its name in the legend, its colours on a light and on a dark page; from the bottom to the
# top of the stack.
LEGEND = {
    "kernel": ("attention kernel", "#7b3294", "#a564c0"),
    "attention": ("rest of the attention block", "#c2a5cf", "#d7bfe3"),
    "mlp": ("MLP", "#2c5fb3", "#5b91e0"),
    "other": ("norms, additions", "#9aa3b2", "#7d8798"),
    "lens": ("logit lens", "#1b7837", "#4bab66"),
    "writing": ("writing", "#d98528", "#f0a04b"),
    "outside": ("outside the layers", "#d5d9e0", "#454d5b"),
}

WIDE, NARROW = Layout(385, 250, True), Layout(285, 210, False)


def charts(trace: Trace, layout: Layout) -> tuple[VegaLite, VegaLite]:
    """Return the specifications for a light and for a dark page."""
    bars, areas, parts = records(trace)
    per_layer = _per_layer(bars, parts, layout)
    per_chunk = _per_chunk(trace, parts, layout)
    return light_and_dark(
        (per_layer, per_chunk), layout, 30, ("color",), {"layers": bars, "chunks": areas},
        (_config(parts, False), _config(parts, True)),
    )  # fmt: skip


def records(trace: Trace) -> tuple[Rows, Rows, list[str]]:
    """Return the rows of both panels, and the measured parts in the order of the legend.

    Layers: {layer, part, from, to} in seconds over all chunks. Chunks: {at, part, from, to} as
    shares of the chunk's time, from the token `at` to the next row's.
    """
    seconds = trace["profile_seconds"]  # [chunk, layer, part]
    names = [str(part) for part in trace["part"]]
    parts = [p for p in LEGEND if p in names and np.isfinite(seconds[..., names.index(p)]).any()]
    order = [names.index(part) for part in parts]
    layer_seconds = np.nansum(seconds, 0)[:, order]
    chunk_seconds = _chunk_seconds(trace, parts, np.nansum(seconds, 1)[:, order])
    parts = [*parts, "outside"]
    return _layer_rows(trace, parts, layer_seconds), _chunk_rows(trace, parts, chunk_seconds), parts


def _chunk_seconds(trace: Trace, parts: list[str], in_layers: np.ndarray) -> np.ndarray:
    """Return seconds [chunk, part] with the time outside of the layers as a last column."""
    outside = trace["profile_outside"]  # [chunk, part]
    is_writing = np.array([str(name) == "writing" for name in trace["outside"]])
    seconds = np.column_stack([in_layers, np.nansum(outside[:, ~is_writing], -1)])
    if "writing" in parts:
        # Writing that belongs to no layer: a commit, and the wait for the disk at the end.
        seconds[:, parts.index("writing")] += np.nansum(outside[:, is_writing], -1)
    return seconds


def _layer_rows(trace: Trace, parts: list[str], seconds: np.ndarray) -> Rows:
    rows = []
    for intervals, layer in zip(_stacked(seconds), trace["layer"], strict=True):
        for part, (low, high) in zip(parts, intervals, strict=False):
            rows.append({"layer": int(layer), "part": LEGEND[part][0], "from": low, "to": high})
    return rows


def _chunk_rows(trace: Trace, parts: list[str], seconds: np.ndarray) -> Rows:
    rows = []
    shares = _stacked(seconds / np.maximum(seconds.sum(1, keepdims=True), 1e-30))
    starts = [*trace["chunk_start"], trace["chunk_stop"][-1]]
    # The last chunk is repeated at the end of the prompt, where its step ends.
    for intervals, start in zip([*shares, shares[-1]], starts, strict=True):
        for part, (low, high) in zip(parts, intervals, strict=True):
            rows.append({"at": int(start), "part": LEGEND[part][0], "from": low, "to": high})
    return rows


def _stacked(values: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return each value [rows, parts] as its interval on top of the values before it."""
    tops = np.cumsum(values.astype(np.float64), 1)
    return [
        [(float(top - value), float(top)) for value, top in zip(row, ends, strict=True)]
        for row, ends in zip(values.astype(np.float64), tops, strict=True)
    ]


def _color(parts: list[str]) -> alt.Color:
    names = [LEGEND[part][0] for part in parts]
    legend = alt.Legend(values=names[::-1])  # from the top to the bottom of the stack
    return alt.Color("part:N", title=None, scale=alt.Scale(domain=names), sort=names, legend=legend)


def _per_layer(bars: Rows, parts: list[str], layout: Layout) -> VegaLite:
    highest = max((bar["to"] for bar in bars), default=0.0)
    factor, unit = (1.0, "s") if highest >= 2 else (1e3, "ms")
    layers = len({bar["layer"] for bar in bars})
    labels = list(range(0, layers, 2 ** max(0, (layers - 1).bit_length() - 4)))  # at most 16
    width = max(2.0, 0.78 * layout.width / max(1, layers))
    y = alt.Y(
        "low:Q", title=f"time ({unit}), whole prompt", axis=alt.Axis(format=",~r", tickCount=5),
        scale=alt.Scale(domain=[0, highest * factor], nice=True),
    )  # fmt: skip
    x = alt.X(
        "layer:Q", title="layer", axis=alt.Axis(format="d", values=labels, grid=False),
        scale=alt.Scale(domain=[-0.6, layers - 0.4], nice=False, zero=False),
    )  # fmt: skip
    mark = (
        dataset("layers")
        .transform_calculate(low=f"datum.from * {factor}", high=f"datum.to * {factor}")
        .mark_bar(size=width)
        .encode(x=x, y=y, y2=alt.Y2("high:Q"), color=_color(parts))
    )
    return view(mark, width=layout.width, height=layout.height, title="By layer")


def _per_chunk(trace: Trace, parts: list[str], layout: Layout) -> VegaLite:
    n = int(trace["chunk_stop"][-1])
    axis = alt.Axis(labelExpr=COUNT_LABEL, values=_ticks(n), grid=False)
    x = alt.X(
        "at:Q", title="tokens already processed", axis=axis,
        scale=alt.Scale(domain=[0, n], nice=False),
    )  # fmt: skip
    y = alt.Y(
        "from:Q", title="share of the chunk's time",
        axis=alt.Axis(labelExpr=PERCENT_LABEL, tickCount=5),
        scale=alt.Scale(domain=[0, 1], nice=False),
    )  # fmt: skip
    mark = (
        dataset("chunks")
        .mark_area(interpolate="step-after", opacity=1)
        .encode(x=x, y=y, y2=alt.Y2("to:Q"), color=_color(parts))
    )
    return view(
        mark, width=layout.width, height=layout.height, title="By chunk, as the prompt grows"
    )


def _ticks(n: int) -> list[int]:
    """Return about five round positions along `n` tokens."""
    step = 2 ** max(0, (n // 4).bit_length() - 1)
    return list(range(0, n + 1, step))


def _config(parts: list[str], dark: bool) -> VegaLite:
    return {
        "range": {"category": [LEGEND[part][1 + dark] for part in parts]},
        "title": {
            "color": ink_of(dark), "fontSize": 12, "fontWeight": 600, "anchor": "start",
            "offset": 8,
        },
        "axis": {"labelFlush": False},
        "legend": {"labelLimit": 190, "symbolType": "square", "symbolSize": 90},
    }  # fmt: skip
