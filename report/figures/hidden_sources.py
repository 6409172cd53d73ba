"""What the figure shows next to its section: p(word) when a source is hidden from a layer on.

One column for each source, with the rows of the section: a bar as long as the probability, green
where the word keeps at least half of it and red below, the lines of missing values where a layer
was not tested, and a frame around the layers in which the answer reads the source. The page's
script makes the same rows in `figure/hidden.js`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np

from attentropy.report.figures.hatch import hatch
from attentropy.report.figures.marks import (
    GREEN,
    INK,
    UNREAD,
    dataset,
    text_mark,
    y_scale,
)
from attentropy.report.figures.readable_rows import RowLayout, has_text
from attentropy.report.figures.sizes import CAPTION, HIDDEN, HIDDEN_GAP, LABELS, STRIP, Size
from attentropy.report.figures.specification import Rows, VegaLite, layer
from attentropy.report.palette import MISSING
from attentropy.report.text import cut

DATASETS = (
    "hidden", "hiddenhatch", "hiddenbands", "hiddennames", "hiddennotes", "hiddentitle",
)  # fmt: skip
MOST = 3  # columns
LEAST_BAR = 2  # pixels, so that a probability of nearly 0 is seen to be tested
LOST = "#d6604d"  # of a bar below one half of the probability, on a light and on a dark page
UNTESTED = 0.45  # opacity: many layers are untested in a short budget, and the tested ones count
_COLUMNS = 9  # of a source's name below its column


@dataclass(frozen=True)
class HiddenColumn:
    """A source: its name and note below the column, and the probabilities by layer entry.

    Each is that of the word where the source is hidden from this layer on; None: not tested.
    band: the first and the last entry in which the answer reads it. full_name: the name uncut.
    """

    name: str
    note: str
    probabilities: tuple[float | None, ...]
    band: tuple[int, int] | None
    full_name: str = ""


@dataclass(frozen=True)
class HiddenWord:
    """A word of the answer, its probability with nothing hidden, and its sources' columns."""

    title: str
    probability: float
    columns: tuple[HiddenColumn, ...]

    def kind(self, p: float | None) -> str:
        """Return what is left of the word at a probability: "kept", "lost" or "untested"."""
        return "untested" if p is None else "lost" if p < self.probability / 2 else "kept"


def short_name(name: str) -> str:
    """Return a name cut to the width of a column."""
    return cut(name, _COLUMNS)


def amount(probability: float) -> str:
    """Return a probability in the few digits that a column has room for."""
    if probability < 0.0005:
        return "< .001"
    return f"{probability:.2f}" if 0.0095 <= probability < 0.995 else f"{probability:.3f}"


def datasets(word: HiddenWord | None, layout: RowLayout, size: Size) -> dict[str, Rows]:
    """Return the rows of the columns; empty where the figure has none or no word is shown."""
    data: dict[str, Rows] = {name: [] for name in DATASETS}
    if word is None or not size.hidden or not word.columns:
        return data
    data["hiddentitle"] = [{"text": word.title}]
    for i, column in enumerate(word.columns):
        left = i * (HIDDEN + HIDDEN_GAP)
        data["hidden"] += _cells(word, column, left, layout, size)
        data["hiddenhatch"] += _hatch(column, left, layout, size)
        middle = left + HIDDEN / 2
        data["hiddennames"].append({"x": middle, "text": column.name})
        data["hiddennotes"].append({"x": middle, "text": column.note})
        if column.band is not None:
            edges, (first, last) = layout.edges, column.band
            data["hiddenbands"].append({
                "x0": left, "x1": left + HIDDEN, "y0": edges[first], "y1": edges[last + 1],
            })  # fmt: skip
    return data


def _cells(
    word: HiddenWord, column: HiddenColumn, left: int, layout: RowLayout, size: Size
) -> Rows:
    edges, rows = layout.edges, []
    for r, p in enumerate(column.probabilities):
        has_room = p is not None and not layout.is_thin(r) and has_text(layout, r, size)
        rows.append({
            "x0": left, "x1": left + HIDDEN,
            "bar": left + (0 if p is None else max(LEAST_BAR, HIDDEN * p)),
            "y0": edges[r], "y1": edges[r + 1], "yc": (edges[r] + edges[r + 1]) / 2,
            "kind": word.kind(p), "text": amount(p) if p is not None and has_room else "",
        })  # fmt: skip
    return rows


def _hatch(column: HiddenColumn, left: int, layout: RowLayout, size: Size) -> Rows:
    """Return the lines over the layers that were not tested, at the column's place."""
    values = np.array([[np.nan if p is None else p] for p in column.probabilities])
    lines = hatch(values, layout, 0, 1, HIDDEN, size.height, has_thin=True)
    return [{**row, "x0": left, "x1": left + HIDDEN} for row in lines]


def hidden_title(size: Size) -> VegaLite:
    """Return the strip above the columns, with what they show in two lines."""
    title = (
        dataset("hiddentitle")
        .mark_text(
            color=INK, align="left", baseline="line-bottom", lineBreak="\n", fontSize=11,
            fontWeight="bold",
        )
        .encode(x=alt.XValue(0), y=alt.YValue(STRIP - 18), text=alt.Text("text:N"))
    )  # fmt: skip
    return layer(title, width=size.hidden, height=STRIP)


def hidden_columns(size: Size) -> VegaLite:
    """Return the columns, as high as the section."""
    return layer(
        _rect("x1", "kept", "lost", color=UNREAD),
        _rect("x1", "untested", color=MISSING, opacity=UNTESTED),
        dataset("hiddenhatch")
        .mark_image(aspect=False, smooth=False, opacity=UNTESTED)
        .encode(
            x=_pixels("x0"), x2=alt.X2("x1"), y=y_scale("y0:Q"), y2=alt.Y2("y1"),
            url=alt.Url("url:N"),
        ),
        _rect("bar", "kept", color=GREEN, opacity=0.5),
        _rect("bar", "lost", color=LOST, opacity=0.85),
        _numbers("kept", "normal"),
        _numbers("lost", "bold"),
        dataset("hiddenbands")
        .mark_rect(filled=False, stroke=GREEN, strokeWidth=2, fillOpacity=0)
        .encode(x=_pixels("x0"), x2=alt.X2("x1"), y=y_scale("y0:Q"), y2=alt.Y2("y1")),
        width=size.hidden, height=size.height,
    )  # fmt: skip


def _of_kind(*kinds: str) -> alt.Chart:
    chart: alt.Chart = dataset("hidden").transform_filter(
        " || ".join(f"datum.kind == '{kind}'" for kind in kinds)
    )
    return chart


def _numbers(kind: str, weight: Literal["normal", "bold"]) -> alt.Chart:
    chart: alt.Chart = (
        _of_kind(kind)
        .mark_text(
            align="right", baseline="middle", color=INK, dx=-3, fontWeight=weight,
            fontSize=alt.ExprRef("min(cellfont, 11)"),
        )
        .encode(x=_pixels("x1"), y=y_scale("yc:Q"), text=alt.Text("text:N"))
    )  # fmt: skip
    return chart


def hidden_names(size: Size) -> VegaLite:
    """Return the names of the sources below their columns."""
    return _below("hiddennames", size, LABELS / 2, "middle", LABELS, fontWeight="bold")


def hidden_notes(size: Size) -> VegaLite:
    """Return in which layers each source is read, below its name."""
    return _below("hiddennotes", size, 2, "top", CAPTION, lineBreak="\n")


def _below(
    name: str, size: Size, y: float, baseline: Any, height: int, **mark: Any
) -> VegaLite:  # fmt: skip
    font = 11 if name == "hiddennames" else 10
    text = text_mark(
        name, x=_pixels("x"), y=alt.YValue(y), color="green", align="center", baseline=baseline,
        fontSize=font, **mark,
    )  # fmt: skip
    return layer(text, width=size.hidden, height=height)


def _rect(right: str, *kinds: str, **mark: Any) -> alt.Chart:
    chart: alt.Chart = (
        _of_kind(*kinds)
        .mark_rect(**mark)
        .encode(x=_pixels("x0"), x2=alt.X2(right), y=y_scale("y0:Q"), y2=alt.Y2("y1"))
    )
    return chart


def _pixels(field: str) -> alt.X:
    return alt.X(f"{field}:Q", axis=None, scale=None)


def words_of_band(band: tuple[int, int] | None, layers: Sequence[str]) -> str:
    """Return in which layers a source is read, in at most two lines."""
    if band is None:
        return ""
    first, last = (layers[entry] for entry in band)
    if band[0] == band[1]:
        return f"in layer {first}"
    return f"by layer {last}" if band[0] == 0 else f"in layers\n{first}–{last}"
