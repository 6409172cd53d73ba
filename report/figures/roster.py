"""The scores of all heads: layers upwards, heads to the right, then a uniform row's scores."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.marks import (
    GREEN,
    colour_ramp,
    dataset,
    picture,
    text_mark,
    unit_scale,
    x_scale,
    y_scale,
)
from attentropy.report.figures.sizes import LIVE_CELLS
from attentropy.report.figures.specification import (
    Datasets,
    Parameters,
    Rows,
    VegaLite,
    layer,
    ramp_rows,
    specification,
)
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors, ramp
from attentropy.report.read.maps import SCORES, score_threshold
from attentropy.report.scale import SHARES, Scale

_UNIFORM_WIDTH = 16
_LEGEND_WIDTH = 12


def pixels(layers: int, heads: int, narrow: bool) -> tuple[int, int]:
    """Return width and height of the cells of all heads."""
    room = 230 if narrow else 860
    side = min(24, room / max(1, heads))
    return max(80, round(side * heads)), max(90, min(460, round(layers * max(8, min(20, side)))))


def roster(size: tuple[int, int], state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of the figure.

    Parameters: heads, layers, colours. Datasets: scores {url} and uniform {url}; passing
    {x0, x1, y0, y1}, the framed heads; layerlabels, headlabels, titles, legend.
    """
    views = {
        "hconcat": [_scores(*size), _uniform(size[1]), _legend(size[1])],
        "spacing": 14,
        "bounds": "flush",
    }
    padding = {"left": 46, "right": 44, "top": 26, "bottom": 38}
    return specification(views, state, datasets, padding)


def _scores(width: int, height: int) -> VegaLite:
    return layer(
        _picture("scores", "heads"),
        dataset("passing")
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(
            x=x_scale("x0:Q", "0", "heads"), x2=alt.X2("x1"),
            y=y_scale("y0:Q", "layers"), y2=alt.Y2("y1"),
        ),
        text_mark("layerlabels", x=alt.XValue(-6), y=y_scale("at:Q", "layers"), align="right",
                  baseline="middle", fontSize=10),
        text_mark("headlabels", x=x_scale("at:Q", "0", "heads"), y=alt.YValue(height + 11),
                  align="center", baseline="middle", fontSize=10),
        text_mark("layertitle", x=alt.XValue(-30), y=alt.YValue(height / 2), align="center",
                  baseline="bottom", angle=270, fontSize=11),
        text_mark("headtitle", x=alt.XValue(width / 2), y=alt.YValue(height + 28),
                  align="center", baseline="middle", fontSize=11),
        text_mark("scoretitle", x=alt.XValue(0), y=alt.YValue(-8), align="left",
                  baseline="bottom", fontSize=11),
        width=width, height=height,
    )  # fmt: skip


def _uniform(height: int) -> VegaLite:
    """Return the column of the scores that a uniform row would have."""
    title = text_mark("uniformtitle", x=alt.XValue(_UNIFORM_WIDTH / 2), y=alt.YValue(height + 11),
                      align="center", baseline="middle", fontSize=10)  # fmt: skip
    return layer(_picture("uniform", "1"), title, width=_UNIFORM_WIDTH, height=height)


def _legend(height: int) -> VegaLite:
    ticks = text_mark("ticks", x=alt.XValue(_LEGEND_WIDTH + 5), y=unit_scale("y:Q"), align="left",
                      baseline="middle", fontSize=10)  # fmt: skip
    return layer(colour_ramp(0, _LEGEND_WIDTH), ticks, width=_LEGEND_WIDTH, height=height)


def _picture(name: str, columns: str) -> alt.Chart:
    return picture(name, ("0", columns), y_scale("y0:Q", "layers"))


def first_roster(
    trace: Trace, names: Sequence[str], rows: Sequence[str], narrow: bool, entropies: Scale
) -> VegaLite:
    """Return the specification for the first score of `names`; `rows` are the layers' labels."""
    layers, heads = trace[f"head_{names[0]}"].shape
    return roster_of(trace, names[0], rows, narrow, entropies, pixels(layers, heads, narrow))


def uniform_scores(trace: Trace, name: str) -> np.ndarray:
    """Return the scores that a uniform row would have, [layer]; all NaN if not recorded."""
    layers = trace.dataset.sizes["layer"]
    return trace[f"uniform_{name}"] if f"uniform_{name}" in trace else np.full(layers, np.nan)


def roster_of(
    trace: Trace, name: str, rows: Sequence[str], narrow: bool, entropies: Scale,
    size: tuple[int, int], complete: bool = False,
) -> VegaLite:  # fmt: skip
    """Return the specification for the score `name`.

    `rows` are the labels of the layers, `entropies` is the scale of the score "entropy". With
    `complete`, the heads above the threshold are framed and the column of a uniform row is drawn;
    on the page the script adds both.
    """
    values = trace[f"head_{name}"].astype(np.float64)
    layers, heads = values.shape
    scale, palette = (entropies, "diverging") if name.endswith("entropy") else (SHARES, "weight")
    datasets = {
        "one": [{"o": 1}],
        "scores": _image_row(values, heads, scale, palette),
        "uniform": [],
        "passing": _passing(values, name) if complete else [],
        **_labels(layers, heads, rows, narrow),
        "scoretitle": [{"text": SCORES[name]}],
        "uniformtitle": [],
        "legend": ramp_rows(ramp(palette)),
        "ticks": [{"y": height, "text": text} for height, text in scale.ticks()],
    }
    uniform = uniform_scores(trace, name)
    if complete and np.isfinite(uniform).any():
        datasets["uniform"] = _image_row(uniform[:, None], 1, scale, palette)
        datasets["uniformtitle"] = [{"text": "uniform"}]
    state = {"heads": heads, "layers": layers, **LIGHT}
    return roster(size, state, datasets)


def _image_row(values: np.ndarray, heads: int, scale: Scale, palette: str) -> Rows:
    """Return values [layer, head] on `scale` as one picture, layer 0 at the bottom."""
    image = data_uri(png(colors(scale.at(values[::-1]), 0, 1, palette)))
    return [{"x0": 0, "x1": heads, "y0": 0, "y1": len(values), "url": image}]


def _passing(values: np.ndarray, name: str) -> Rows:
    """Return the frames of the heads above the threshold; none if there are too many."""
    limit = score_threshold(name)
    cells = [] if limit is None else np.argwhere(values > limit).tolist()
    if len(cells) > LIVE_CELLS:
        return []
    return [{"x0": h + 0.06, "x1": h + 0.94, "y0": l + 0.06, "y1": l + 0.94} for l, h in cells]


def _labels(layers: int, heads: int, rows: Sequence[str], narrow: bool) -> dict[str, Rows]:
    layer_step, head_step = max(1, round(layers / 16)), max(1, -(-heads // (8 if narrow else 32)))
    return {
        "layerlabels": [{"at": i + 0.5, "text": rows[i]} for i in range(0, layers, layer_step)],
        "headlabels": [{"at": i + 0.5, "text": str(i)} for i in range(0, heads, head_step)],
        "layertitle": [{"text": "layer"}],
        "headtitle": [{"text": "head"}],
    }
