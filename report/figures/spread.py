"""Entropy against the position: mean and range of a layer's heads, below ln(visible keys)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.figures.marks import (
    BLUE,
    HAS_SPLIT,
    INK,
    IS_REASONED,
    answer_line,
    dataset,
    text_mark,
)
from attentropy.report.figures.specification import (
    Channels,
    Datasets,
    Parameters,
    Rows,
    VegaLite,
    axis_style,
    layer,
    specification,
)
from attentropy.report.palette import LIGHT
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.visible import visible_keys

WIDE, NARROW = (1010, 210), (290, 190)
_SHORT_NOTE = "line: mean · band: range of heads · dashed: ln(visible)"
NOTE = "line: mean over heads · band: lowest to highest head · dashed: ln(visible keys)"
_CEILING_POINTS = 130


def spread(size: tuple[int, int], state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of the figure.

    Parameters: n, split (where the answer begins), reasoned (where its reasoning ends), top
    (nats), colours. Datasets: heads {x, mean, low, high} with x the middle of a
    tile, ceiling {x, y}, note, one.
    """
    x, y = _channels(size[0] > 500)
    heads = dataset("heads")
    band = heads.mark_area(color=BLUE, opacity=0.22, clip=True).encode(
        x=x, y=alt.Y("low:Q", **y), y2=alt.Y2("high:Q")
    )
    line = heads.mark_line(color=BLUE, strokeWidth=1.6, clip=True).encode(
        x=x, y=alt.Y("mean:Q", **y)
    )
    dashes = (
        dataset("ceiling")
        .mark_line(color=INK, strokeWidth=1.2, strokeDash=[5, 3], clip=True)
        .encode(x=x, y=alt.Y("y:Q", **y))
    )
    note = text_mark("note", x=alt.XValue(size[0] - 6), y=alt.YValue(-7), align="right",
                     baseline="bottom", fontSize=11)  # fmt: skip
    ends = [
        answer_line(f"{at} / n * {size[0]}", "-4", size[1], f"{shown} ? 1 : 0", is_dashed=is_dashed)
        for at, shown, is_dashed in (("split", HAS_SPLIT, False), ("reasoned", IS_REASONED, True))
    ]
    views = layer(band, dashes, line, *ends, note, width=size[0], height=size[1])
    padding = {"left": 6, "right": 20, "top": 22, "bottom": 6}
    return specification(views, state, datasets, padding)


def _channels(is_wide: bool) -> tuple[alt.X, Channels]:
    """Return the horizontal channel, and what the vertical channels of all marks share."""
    style = axis_style()
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, alt.ExprRef("n")], nice=False),
        axis=alt.Axis(title="query (position)", grid=False, format=",d",
                      tickCount=8 if is_wide else 3, **style),
    )  # fmt: skip
    y_axis = alt.Axis(title="attention entropy (nats)", tickCount=5, **style)
    y_scale = alt.Scale(domain=[0, alt.ExprRef("top")], nice=False)
    return x, {"scale": y_scale, "axis": y_axis}


def first_spread(
    trace: Trace, attention: planes.AttentionPlanes, layer: int, size: tuple[int, int], high: float
) -> VegaLite:
    """Return the specification for one layer; `high` is the upper end of the entropy scale."""
    heads, n = attention.heads[layer], attention.mean.shape[1]
    has_value = np.isfinite(heads).any(0)
    points = [
        {"x": (i + 0.5) * attention.step, "mean": float(np.nanmean(column)),
         "low": float(np.nanmin(column)), "high": float(np.nanmax(column))}
        for i, column in enumerate(heads.T) if has_value[i]
    ]  # fmt: skip
    rows: dict[str, Rows] = {
        "heads": points,
        "ceiling": ceiling(trace, layer, n),
        "note": [{"text": NOTE if size == WIDE else _SHORT_NOTE}],
        "one": [{"o": 1}],
    }
    ends = {"split": trace.prompt_tokens, "reasoned": reasoning_end(trace)}
    return spread(size, {"n": n, **ends, "top": high * 1.04, **LIGHT}, rows)


def ceiling(trace: Trace, layer: int, n: int) -> Rows:
    """Return ln(visible keys) at positions that lie closer together where the curve bends."""
    lines = visible_keys(trace)
    if lines is None:
        return []
    count = _CEILING_POINTS
    positions = sorted({min(n - 1, round((i / count) ** 3 * (n - 1))) for i in range(count + 1)})
    points = ((x, _ln_visible(lines[layer], x)) for x in positions)
    return [{"x": x + 0.5, "y": y} for x, y in points if math.isfinite(y)]


def ceilings_at(trace: Trace, layer: int, positions: Sequence[int]) -> list[float]:
    """Return ln(visible keys) at `positions`; NaN without visible keys or without a record."""
    lines = visible_keys(trace)
    if lines is None:
        return [math.nan] * len(positions)
    return [_ln_visible(lines[layer], x) for x in positions]


def _ln_visible(lines: Sequence[Sequence[int]], position: int) -> float:
    start, count, rise = [line for line in lines if line[0] <= position][-1]
    visible = count + rise * (position - start)
    return math.log(visible) if visible >= 1 else math.nan
