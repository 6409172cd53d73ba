"""Marks of the selected cell and of the hovered one, which every part of the page shares.

The page's script sets their places as parameters; without the script no cell is marked:

- `sel0`, `sel1`, `hover0`, `hover1`: lower and upper edge of a row, in units of rows; no row
  where the upper edge is not above the lower one;
- `hovercol`: the hovered position, −1 for none; `col` is the selected one;
- `inrows`: 1 where the inset has the rows of the section;
- `flash`, `flashrow`: the opacities of the frames around a cell or a row that was looked up, for a
  moment;
- `rowtag`, `columntag`, `hoverrowtag`, `hovercolumntag`: labels of the rows and columns.

The dataset `dimmed` has x0 and x1 of the columns that a search leaves out.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from attentropy.report.figures.marks import (
    GREEN,
    INK,
    ORANGE,
    PAPER,
    dataset,
    outline,
    rule,
    x_scale,
)
from attentropy.report.figures.sizes import LABELS, Size
from attentropy.report.figures.specification import Parameters, VegaLite, layer

PARAMETERS: Parameters = {
    "sel0": -1, "sel1": -1, "hover0": -1, "hover1": -1, "hovercol": -1, "inrows": 0, "flash": 0,
    "flashrow": 0,
    "rowtag": "", "columntag": "", "hoverrowtag": "", "hovercolumntag": "",
}  # fmt: skip
DATASETS = ("dimmed",)

_DIMMED = 0.66  # opacity of what lies over the columns that a search leaves out
_TICK = 6  # pixels: the length of the ticks next to the overview

Ends = tuple[str, str]
"""Lower and upper edge of something, as expressions."""


def _place(low: str, high: str, pixels: str, position: str) -> str:
    """Return where a position lies between two ends, in pixels of a view, clamped to it."""
    return f"clamp(({position} - {low}) / ({high} - {low}), 0, 1) * {pixels}"


def _height(rows: str, pixels: int, edge: str) -> str:
    return f"{pixels} - clamp({edge} / {rows}, 0, 1) * {pixels}"


def _outlined(x: Ends, y: Ends, opacity: str, color: alt.ExprRef, width: float) -> VegaLite:
    """Return a rectangle on a seam of paper, so that it stands out on any colour."""
    return layer(
        outline(PAPER, x, y[::-1], width + 2, f"0.9 * ({opacity})"),
        outline(color, x, y[::-1], width, opacity),
    )


def cells(size: Size) -> tuple[VegaLite, ...]:
    """Return the marks of the section: hovered row and column, and the frames of both cells."""

    def columns(position: str) -> Ends:
        ends = (position, f"{position} + 1")
        left, right = (_place("a", "b", "section", end) for end in ends)
        return left, right

    def rows(name: str) -> Ends:
        low, high = (_height("rowcount", size.height, f"{name}{i}") for i in (0, 1))
        return low, high

    whole_width, whole_height = ("0", "section"), (f"{size.height}", "0")
    in_view = "hovercol >= a && hovercol < b"
    has_row, is_selected = "hover1 > hover0", "sel1 > sel0 && col >= a && col < b"
    hovered, selected = columns("hovercol"), columns("col")
    return (
        _outlined(hovered, whole_height, f"{in_view} ? 0.75 : 0", INK, 1),
        _outlined(whole_width, rows("hover"), f"{has_row} ? 0.75 : 0", INK, 1),
        _outlined(selected, rows("sel"), f"{is_selected} ? 1 : 0", GREEN, 4),
        _outlined(hovered, rows("hover"), f"{in_view} && {has_row} ? 1 : 0", INK, 2),
        layer(
            outline(ORANGE, selected, rows("sel")[::-1], 7, f"{is_selected} ? flash : 0"),
            outline(ORANGE, whole_width, rows("sel")[::-1], 5, "sel1 > sel0 ? flashrow : 0"),
        ),
        _row_tag(size, "sel", "rowtag", GREEN),
        _row_tag(size, "hover", "hoverrowtag", INK),
    )


def _tag(text: str, color: alt.ExprRef, opacity: str, x: str, y: str, **mark: Any) -> VegaLite:
    """Return a bold label that covers the plain one at the same place."""

    def label(**more: Any) -> alt.Chart:
        chart: alt.Chart = (
            dataset("one")
            .mark_text(
                text=alt.ExprRef(text), baseline="middle", fontSize=11, fontWeight="bold", **more
            )
            .encode(
                x=alt.XValue(alt.ExprRef(x)), y=alt.YValue(alt.ExprRef(y)),
                opacity=alt.OpacityValue(alt.ExprRef(opacity)),
            )
        )  # fmt: skip
        return chart

    seam = label(color=PAPER, stroke=PAPER, strokeWidth=6, strokeJoin="round", **mark)
    return layer(seam, label(color=color, **mark))


def _row_tag(size: Size, name: str, text: str, color: alt.ExprRef) -> VegaLite:
    middle = f"{size.height} - clamp(({name}0 + {name}1) / 2 / rowcount, 0, 1) * {size.height}"
    return _tag(text, color, f"{name}1 > {name}0 ? 1 : 0", "-7", middle, align="right")


def column_tags() -> tuple[VegaLite, ...]:
    """Return the labels of the selected and the hovered column, below the section."""

    def tag(position: str, text: str, color: alt.ExprRef) -> VegaLite:
        middle = _place("a", "b", "section", f"{position} + 0.5")
        shown = f"{position} >= a && {position} < b ? 1 : 0"
        return _tag(text, color, shown, middle, f"{LABELS / 2}", align="center")

    return tag("col", "columntag", GREEN), tag("hovercol", "hovercolumntag", INK)


def overview_marks(size: Size) -> tuple[VegaLite, ...]:
    """Return the hovered column of the overview, and ticks at the rows next to it."""
    at = _place("0", "n", "total", "hovercol + 0.5")
    shown = alt.OpacityValue(alt.ExprRef("hovercol >= 0 ? 1 : 0"))
    seam, line = (
        rule(color, at, at, "0", f"{size.overview}", strokeWidth=width).encode(opacity=shown)
        for color, width in ((PAPER, 3), (INK, 1))
    )
    ticks = []
    for name, color in (("sel", GREEN), ("hover", INK)):
        middle = f"({name}0 + {name}1) / 2 / rowcount"
        y = f"{size.overview} - clamp({middle}, 0, 1) * {size.overview}"
        opacity = alt.OpacityValue(alt.ExprRef(f"{name}1 > {name}0 ? 1 : 0"))
        ticks.append(
            rule(
                color, "total", f"total + {_TICK}", y, y, strokeWidth=2
            ).encode(opacity=opacity)
        )  # fmt: skip
    return layer(seam, line), layer(*ticks)


def inset_marks(size: Size) -> tuple[VegaLite, ...]:
    """Return the frames of the selected and the hovered row in the inset, where it has rows."""
    across = ("0", f"{size.inset}")

    def mark(name: str, color: alt.ExprRef, width: float) -> VegaLite:
        low, high = (_height("rowcount", size.height, f"{name}{i}") for i in (0, 1))
        opacity = f"inrows && {name}1 > {name}0 ? 1 : 0"
        return _outlined(across, (low, high), opacity, color, width)

    return mark("sel", GREEN, 3), mark("hover", INK, 1.5)


def dimmed(size: Size) -> alt.Chart:
    """Return what lies over the columns of the section that a search leaves out."""
    chart: alt.Chart = (
        dataset("dimmed")
        .mark_rect(color=PAPER, opacity=_DIMMED, clip=True)
        .encode(
            x=x_scale("x0:Q", "a", "b"),
            x2=alt.X2("x1"),
            y=alt.YValue(0),
            y2=alt.Y2Value(size.height),
        )
    )
    return chart


def map_marks(side: int, x: Ends, y: Ends) -> tuple[VegaLite, ...]:
    """Return row and column of the selected and the hovered position in a map's square panel.

    `x` and `y` are the ends of the panel's keys and queries, as expressions. Rows are queries and
    run downwards.
    """

    def marks(position: str, color: alt.ExprRef) -> VegaLite:
        def lines(low: str, high: str) -> tuple[str, str, str]:
            ends = (position, f"{position} + 1")
            start, stop = (_place(low, high, f"{side}", end) for end in ends)
            return start, stop, f"{position} >= {low} && {position} < {high} ? 1 : 0"

        top, bottom, in_rows = lines(*y)
        left, right, in_columns = lines(*x)
        whole = ("0", f"{side}")
        return layer(
            _outlined(whole, (bottom, top), in_rows, color, 1.5),
            _outlined((left, right), whole[::-1], f"0.8 * ({in_columns})", color, 1),
        )

    return marks("col", GREEN), marks("hovercol", INK)
