"""The tokens of a section with many columns, written upwards below it, where they fit whole."""

from __future__ import annotations

from typing import Any

import altair as alt

from attentropy.report.export.fonts import widths
from attentropy.report.figures.column_labels import label_letters
from attentropy.report.figures.marks import blank, text_mark, x_scale
from attentropy.report.figures.sizes import Size
from attentropy.report.figures.specification import Rows, VegaLite, layer
from attentropy.report.text import shorten

FEWEST = 4  # letters to which a label is cut at most before it is written upwards
_LEAST_PITCH = 8.0  # pixels per column: with less, positions are written
_LETTERS = 24
_FONT = 10.0
_ROW = 9  # where the grid of the figure has the row below the labels: three parts per row


def has_upright_labels(size: Size, columns: int) -> bool:
    """Return whether so many columns have room for labels that are written upwards only."""
    return label_letters(size, columns) < FEWEST and size.section / columns >= _LEAST_PITCH


def write_upright(spec: VegaLite, size: Size, tokens: Any, start: int, stop: int) -> None:
    """Write the tokens of the section's columns upwards below it, in place of its labels."""
    font = min(_FONT, size.section / (stop - start) - 1)
    rows: Rows = [
        {"xc": p + 0.5, "text": shorten(str(tokens[p]), _LETTERS)} for p in range(start, stop)
    ]
    height = round(max(widths(row["text"] for row in rows).values()) * font) + 8
    labels = text_mark(
        "upright", x=x_scale("xc:Q", "a", "b"), y=alt.YValue(2), align="right", angle=270,
        baseline="middle", fontSize=font,
    )  # fmt: skip
    row = [
        blank(size.inset, height),
        layer(labels, width=size.section, height=height),
        blank(size.legend, height),
    ]
    spec["datasets"] |= {"columns": [], "upright": rows}
    spec["vconcat"][-1]["concat"][_ROW:_ROW] = row
