"""For a telephone: p(word) when a source is hidden from a layer on, a row for each source.

The same values as in the columns next to the figure's section (see `hidden_sources`), for which a
telephone has no room: layers run from left to right, the bar of a layer is as high as the
probability, and the frame is around the layers in which the answer reads the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.report.figures.hatch import hatch
from attentropy.report.figures.hidden_sources import (
    LEAST_BAR,
    LOST,
    UNTESTED,
    HiddenColumn,
    HiddenWord,
)
from attentropy.report.figures.marks import GREEN, UNREAD, dataset, text_mark
from attentropy.report.figures.readable_rows import RowLayout
from attentropy.report.figures.specification import Rows, VegaLite, layer, specification
from attentropy.report.palette import LIGHT, MISSING
from attentropy.report.text import cut

_WIDTH = 340  # pixels
_BAR, _NAME, _AXIS = 30, 18, 16  # heights: of the bars of a source, its name above, the last line
_COLUMNS = 26  # of a source's name
_ONE_ROW = RowLayout((1.0,), ("",))


def hidden_strip(word: HiddenWord, layers: Sequence[str]) -> VegaLite:
    """Return the chart; `layers` are the names of the layers, from left to right."""
    data: dict[str, Rows] = {
        "bars": [], "gaps": [], "bands": [], "names": [], "notes": [],
        "axis": _axis(layers, len(word.columns)),
    }  # fmt: skip
    for i, column in enumerate(word.columns):
        _add_source(data, word, column, i * (_NAME + _BAR))
    x, x2, y, y2 = _pixels("x0"), alt.X2("x1"), alt.Y("y0:Q", axis=None, scale=None), alt.Y2("y1")

    def rect(kind: str, top: str, **mark: Any) -> alt.Chart:
        chart: alt.Chart = (
            dataset("bars")
            .transform_filter(f"indexof({kind}, datum.kind) >= 0")
            .mark_rect(**mark)
            .encode(x=x, x2=x2, y=alt.Y(f"{top}:Q", axis=None, scale=None), y2=y2)
        )
        return chart

    marks = (
        rect("['kept', 'lost']", "y0", color=UNREAD),
        rect("['untested']", "y0", color=MISSING, opacity=UNTESTED),
        dataset("gaps")
        .mark_image(aspect=False, smooth=False, opacity=UNTESTED)
        .encode(x=x, x2=x2, y=y, y2=y2, url=alt.Url("url:N")),
        rect("['kept']", "bar", color=GREEN, opacity=0.5),
        rect("['lost']", "bar", color=LOST, opacity=0.85),
        dataset("bands")
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(x=x, x2=x2, y=y, y2=y2),
        _text("names", "left", color="green", fontWeight="bold"),
        _text("notes", "right", color="green"),
        _text("axis", "center", color="muted"),
    )
    height = len(word.columns) * (_NAME + _BAR) + _AXIS
    chart = layer(*marks, width=_WIDTH, height=height)
    return specification(
        {**chart, "autosize": {"type": "pad", "contains": "padding"}}, dict(LIGHT), data,
        {"left": 10, "right": 10, "top": 2, "bottom": 2},
    )  # fmt: skip


def _add_source(data: dict[str, Rows], word: HiddenWord, column: HiddenColumn, top: int) -> None:
    y0, y1 = top + _NAME, top + _NAME + _BAR
    edges = np.linspace(0, _WIDTH, len(column.probabilities) + 1)
    for r, p in enumerate(column.probabilities):
        bar = 0 if p is None else max(LEAST_BAR, (_BAR - 2) * p)
        data["bars"].append({
            "x0": round(edges[r], 2), "x1": round(edges[r + 1], 2), "y0": y0, "y1": y1 - 2,
            "bar": round(y1 - 2 - bar, 2), "kind": word.kind(p),
        })  # fmt: skip
    values = np.array([[np.nan if p is None else p for p in column.probabilities]])
    lines = hatch(values, _ONE_ROW, 0, 1, _WIDTH, _BAR - 2)
    data["gaps"] += [{**row, "x0": 0, "x1": _WIDTH, "y0": y0, "y1": y1 - 2} for row in lines]
    text_y = y0 - _NAME / 2
    data["names"].append({"x": 0, "y": text_y, "text": cut(column.full_name, _COLUMNS)})
    data["notes"].append({"x": _WIDTH, "y": text_y, "text": column.note.replace("\n", " ")})
    if column.band is not None:
        first, last = column.band
        data["bands"].append({"x0": edges[first], "x1": edges[last + 1], "y0": y0, "y1": y1 - 2})


def _axis(layers: Sequence[str], sources: int) -> Rows:
    """Return the names of the first and the last layer, and of some between them."""
    many, y = len(layers), sources * (_NAME + _BAR) + _AXIS / 2
    shown = sorted({*range(0, many, max(1, -(-many // 6))), many - 1})
    shown = [r for r in shown if r == many - 1 or (many - 1 - r) * _WIDTH / many > 24]
    texts = [layers[r] for r in shown]
    texts[0] = f"layer {texts[0]}"
    centres = [(r + 0.5) * _WIDTH / many for r in shown]
    centres[0] = max(centres[0], 20.0)
    return [{"x": x, "y": y, "text": text} for x, text in zip(centres, texts, strict=True)]


def _text(name: str, align: Any, **mark: Any) -> alt.Chart:
    y = alt.Y("y:Q", axis=None, scale=None)
    return text_mark(name, x=_pixels("x"), y=y, align=align, baseline="middle", fontSize=11, **mark)


def _pixels(field: str) -> alt.X:
    return alt.X(f"{field}:Q", axis=None, scale=None)
