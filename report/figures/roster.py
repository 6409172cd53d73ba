"""Every head's score: layers upwards, heads to the right; beside them what a uniform row gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.heatmap_data import hexes
from attentropy.report.figures.marks import (
    GREEN,
    Layers,
    data,
    finished,
    words,
    written,
    x_scale,
    y_scale,
)
from attentropy.report.figures.sizes import LIVE_CELLS
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors
from attentropy.report.read.maps import SCORES, threshold

_UNIFORM = 16
_LEGEND = 12


def pixels(layers: int, heads: int, narrow: bool) -> tuple[int, int]:
    """Width and height of the heads' cells."""
    wide = 230 if narrow else 860
    side = min(24, wide / max(1, heads))
    return max(80, round(side * heads)), max(90, min(460, round(layers * max(8, min(20, side)))))


def roster(
    size: tuple[int, int],
    state: Mapping[str, Any],
    datasets: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """The specification.

    Parameters: heads, layers, colours. Datasets: scores {url} and uniform {url},
    passing {x0, x1, y0, y1} framed, layerlabels, headlabels, titles, legend."""
    width, height = size
    grid = alt.layer(
        _picture("scores", "heads"),
        data("passing")
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(x=x_scale("x0:Q", "0", "heads"), x2="x1", y=y_scale("y0:Q", "layers"), y2="y1"),
        words("layerlabels", x=alt.XValue(-6), y=y_scale("at:Q", "layers"), align="right",
              baseline="middle", fontSize=10),
        words("headlabels", x=x_scale("at:Q", "0", "heads"), y=alt.YValue(height + 11),
              align="center", baseline="middle", fontSize=10),
        words("layertitle", x=alt.XValue(-30), y=alt.YValue(height / 2), align="center",
              baseline="bottom", angle=270, fontSize=11),
        words("headtitle", x=alt.XValue(width / 2), y=alt.YValue(height + 28), align="center",
              baseline="middle", fontSize=11),
        words("scoretitle", x=alt.XValue(0), y=alt.YValue(-8), align="left", baseline="bottom",
              fontSize=11),
    ).properties(width=width, height=height)  # fmt: skip
    uniform = alt.layer(
        _picture("uniform", "1"),
        words("uniformtitle", x=alt.XValue(_UNIFORM / 2), y=alt.YValue(height + 11),
              align="center", baseline="middle", fontSize=10),
    ).properties(width=_UNIFORM, height=height)  # fmt: skip
    y = alt.Y("y0:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    at = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    legend: Layers = alt.layer(
        data("legend")
        .mark_rect()
        .encode(x=alt.XValue(0), x2=alt.X2Value(_LEGEND), y=y, y2="y1",
                fill=alt.Fill("fill:N", scale=None)),
        words("ticks", x=alt.XValue(_LEGEND + 5), y=at, align="left", baseline="middle",
              fontSize=10),
    ).properties(width=_LEGEND, height=height)  # fmt: skip
    views = {
        "hconcat": [written(view) for view in (grid, uniform, legend)],
        "spacing": 14,
        "bounds": "flush",
    }
    return finished(views, state, datasets, {"left": 46, "right": 44, "top": 26, "bottom": 38})


def _picture(name: str, columns: str) -> alt.Chart:
    return (
        data(name)
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(
            x=x_scale("x0:Q", "0", columns),
            x2="x1",
            y=y_scale("y0:Q", "layers"),
            y2="y1",
            url="url:N",
        )
    )


def first_roster(
    trace: Trace, names: Sequence[str], rows: Sequence[str], narrow: bool, high: float
) -> dict[str, Any]:
    """The first score of `names` as a Vega-Lite specification."""
    layers, heads = trace[f"head_{names[0]}"].shape
    return drawn(trace, names[0], rows, narrow, high, pixels(layers, heads, narrow))


def beside(trace: Trace, name: str) -> np.ndarray:
    """What a uniform row would give, [layer]; all NaN where it was not recorded."""
    layers = trace.dataset.sizes["layer"]
    return trace[f"uniform_{name}"] if f"uniform_{name}" in trace else np.full(layers, np.nan)


def drawn(
    trace: Trace, name: str, rows: Sequence[str], narrow: bool, high: float, size: tuple[int, int],
    whole: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A score as a Vega-Lite specification; `whole`: with the heads that pass framed and the column
    of a uniform row, which on the page the script adds."""
    values = trace[f"head_{name}"].astype(np.float64)
    layers, heads = values.shape
    limit, uniform = threshold(name), beside(trace, name)
    passing: list[list[int]] = []
    if whole and limit is not None:
        passing = np.argwhere(values > limit).tolist()
    top, palette = (high, "diverging") if name == "entropy" else (1.0, "weight")
    image = data_uri(png(colors(values[::-1], 0, top, palette)))
    steps = 64
    fills = hexes(colors((np.arange(steps) + 0.5) / steps, 0, 1, palette))
    every, wide = max(1, round(layers / 16)), max(1, -(-heads // (8 if narrow else 32)))
    datasets = {
        "one": [{"o": 1}],
        "scores": [{"x0": 0, "x1": heads, "y0": 0, "y1": layers, "url": image}],
        "uniform": [],
        "passing": [
            {"x0": h + 0.06, "x1": h + 0.94, "y0": l + 0.06, "y1": l + 0.94} for l, h in passing
        ]
        if len(passing) <= LIVE_CELLS
        else [],
        "layerlabels": [{"at": i + 0.5, "text": rows[i]} for i in range(0, layers, every)],
        "headlabels": [{"at": i + 0.5, "text": str(i)} for i in range(0, heads, wide)],
        "layertitle": [{"text": "layer"}],
        "headtitle": [{"text": "head"}],
        "scoretitle": [{"text": SCORES[name]}],
        "uniformtitle": [],
        "legend": [
            {"y0": i / steps, "y1": min(1, (i + 1.3) / steps), "fill": fill}
            for i, fill in enumerate(fills)
        ],
        "ticks": [{"y": part, "text": f"{part * top:.1f}"} for part in (0.0, 0.5, 1.0)],
    }
    if whole and np.isfinite(uniform).any():
        column = data_uri(png(colors(uniform[::-1, None], 0, top, palette)))
        datasets["uniform"] = [{"x0": 0, "x1": 1, "y0": 0, "y1": layers, "url": column}]
        datasets["uniformtitle"] = [{"text": "uniform"}]
    state = {"heads": heads, "layers": layers, **LIGHT}
    return roster(size, state, datasets)
