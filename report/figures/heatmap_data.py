"""The datasets of the heatmap figure in its first state: the colour and the text of each cell.

The page's script makes the same datasets when the view moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import LETTER, LIVE_CELLS, Size
from attentropy.report.figures.specification import Row, Rows, ramp_rows
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors, hexes, inks, ramp, shades
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.views import View
from attentropy.report.scale import Scale
from attentropy.report.text import shorten
from attentropy.report.units import count

_PICTURE_COLUMNS = 1024  # of a picture that nobody zooms into

CellTexts = Sequence[Sequence[str | list[str]]]
"""The text of each cell [row][column]; a list has one text per line."""


def grid(
    values: np.ndarray,
    texts: CellTexts,
    first: int,
    scale: Scale,
    palette: str = "diverging",
) -> Rows:
    """Return one row per cell of values [rows, columns], with row 0 at the bottom.

    The left column stands at position `first`.
    """
    rgb = colors(scale.at(values), 0, 1, palette)
    fills, tints = hexes(rgb), inks(rgb)
    width = values.shape[1]
    return [
        {
            "x0": first + c, "x1": first + c + 1, "xc": first + c + 0.5,
            "y0": r, "y1": r + 1, "yc": r + 0.5,
            "text": texts[r][c], "fill": fills[r * width + c], "tint": tints[r * width + c],
        }
        for r in range(values.shape[0])
        for c in range(width)
    ]  # fmt: skip


def tile(
    values: np.ndarray, scale: Scale, start: int = 0, step: int = 1, palette: str = "diverging"
) -> Rows:
    """Return the cells from position `start` on as one picture, whose top row is the last layer.

    If there are many positions, each column is the mean of several, but at least of `step`.
    """
    size, means = tile_means(values, step)
    image = png(*shades(scale.at(means[::-1]), 0, 1, palette))
    rows, columns = means.shape
    return [
        {"x0": start, "x1": start + columns * size, "y0": 0, "y1": rows, "url": data_uri(image)}
    ]


def tile_means(values: np.ndarray, step: int = 1) -> tuple[int, np.ndarray]:
    """Return the number of positions per column of a picture, and their means [rows, columns].

    `step` is the smallest number of positions per column.
    """
    size = max(step, planes.tile_size(values.shape[1], _PICTURE_COLUMNS))
    return size, values if size == 1 else planes.make_tiles(values, size).mean


def numbers(start: int, stop: int, pixels: int) -> Rows:
    """Return round positions, as labels under columns that are too narrow for their tokens."""
    every = round_step((stop - start) * 90 / pixels)
    first = -(-start // every) * every
    return [{"xc": i + 0.5, "text": f"{i:,}"} for i in range(first, stop, every)]


def round_step(minimum: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is not less than `minimum`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= minimum:
                return factor * power
        power *= 10


def legend(scale: Scale, palette: str = "diverging") -> tuple[Rows, Rows]:
    """Return the rows of the colour ramp, and of the labels at its ends and its middle."""
    return ramp_rows(ramp(palette)), [{"y": height, "text": text} for height, text in scale.ticks()]


def datasets(
    trace: Trace,
    size: Size,
    placement: Placement,
    view: View,
    rows: Sequence[str],
    palette: str = "diverging",
) -> dict[str, Rows]:
    """Return every dataset of `heatmap` for a view; `rows` are the labels of its rows."""
    legend_rows, ticks = legend(view.scale, palette)
    return {
        "one": [{"o": 1}],
        "tile": tile(view.values, view.scale, 0, view.step, palette),
        **_section_datasets(trace, size, placement, view, palette, len(rows)),
        **_row_labels(rows),
        **_inset_datasets(trace, size, placement.column, view, palette),
        "pins": [],
        "matches": [],
        "matchespart": [],
        "legend": legend_rows,
        "ticks": ticks,
        "legendtitle": [{"text": view.title}],
        "caption": [{"text": placement.caption}],
        "overviewtitle": [{"text": overview_title(len(trace.tokens), view.step)}],
    }


def _section_datasets(
    trace: Trace, size: Size, placement: Placement, view: View, palette: str, row_count: int
) -> dict[str, Rows]:
    """Return the section as rectangles with text if there are few, else as a picture."""
    start, stop = placement.start, placement.stop
    values, scale, tokens = view.values[:, start:stop], view.scale, trace.tokens
    letters = label_letters(size, stop - start)
    columns = numbers(start, stop, size.section)
    if letters >= 2:
        labels = column_labels(tokens, start, stop, letters)
        columns = [{"xc": start + i + 0.5, "text": label} for i, label in enumerate(labels)]
    if not is_live(size, stop - start, row_count):
        picture = tile(values, scale, start, 1, palette)
        return {"part": picture, "cells": [], "columns": columns}
    texts = view.texts(start, stop, cell_letters(size, stop - start))
    return {"part": [], "cells": grid(values, texts, start, scale, palette), "columns": columns}


def column_labels(tokens: Sequence[str], start: int, stop: int, letters: int) -> list[str]:
    """Return the texts under the columns of a section, cut to `letters`."""
    return [shorten(token, letters) for token in tokens[start:stop]]


def _row_labels(rows: Sequence[str]) -> dict[str, Rows]:
    every = max(1, round(len(rows) / 24))
    return {
        "rows": [{"yc": i + 0.5, "text": rows[i]} for i in range(0, len(rows), every)],
        "rowtitle": [{"text": "layer"}],
        "overviewlabels": [{"y": 0.06, "text": rows[0]}, {"y": 0.94, "text": rows[-1]}],
    }


def _inset_datasets(
    trace: Trace, size: Size, column: int, view: View, palette: str
) -> dict[str, Rows]:
    texts = inset_texts(view, size, column, size.inset_letters)
    cells = grid(view.values[:, column : column + 1], texts, 0, view.scale, palette)
    name = shorten(trace.tokens[column], min(16, int(size.inset / 6.5)))
    return {
        "inset": _raise_two_lines(cells, size),
        "insetrows": [],
        "insetcolumns": [{"xc": 0.5, "text": name}],
        "insettitle": [{"text": f"{view.column_title(is_narrow=size.is_narrow)} {column:,}"}],
    }


def overview_title(n: int, size: int) -> str:
    """Return the title of the overview of n positions, `size` of them per column."""
    mean = f", each column is the mean of {size}" if size > 1 else ""
    return f"{'all ' if n > 1 else ''}{count(n, 'position')}, every layer{mean}"


def _raise_two_lines(inset: list[Row], size: Size) -> Rows:
    """Move the texts of two lines up by half a line, so that they stand in the middle of a cell."""
    line = size.inset_font + 2  # the height of a line in pixels, as Vega computes it
    for cell in inset:
        if isinstance(cell["text"], list):
            cell["yc"] += line / 2 * len(inset) / size.height
    return inset


def inset_texts(view: View, size: Size, column: int, letters: int) -> CellTexts:
    """Return the texts of the magnified column, cut to `letters`."""
    has_two_lines = size.two_lines(len(view.values))
    return view.inset_texts(column, letters, has_two_lines=has_two_lines)


def is_live(size: Size, columns: int, rows: int) -> bool:
    """Return whether the cells of the section are rectangles with text, not a picture."""
    return label_letters(size, columns) >= 2 and rows * columns <= LIVE_CELLS


def label_letters(size: Size, columns: int) -> int:
    """Return the number of letters that fit under a column of the section.

    Labels of fewer than two letters are left out.
    """
    return int(size.section / max(1, columns) / LETTER)


def cell_letters(size: Size, columns: int) -> int:
    """Return the number of letters to which the texts of a section's cells are cut."""
    return min(12, label_letters(size, columns))


def state(trace: Trace, size: Size, placement: Placement, rows: int) -> Row:
    """Return the first values of the figure's parameters."""
    row_height = size.height / max(1, rows)
    return {
        "n": trace.dataset.sizes["position"], "rowcount": rows,
        "a": placement.start, "b": placement.stop, "col": placement.column,
        "box0": placement.box_start, "box1": placement.box_stop, "split": trace.prompt_tokens,
        "reasoned": reasoning_end(trace),
        "insetwidth": 1, "insetheight": rows,
        **LIGHT,
        "cellfont": 0 if row_height < 8 else min(12, row_height * 0.7),
        "labelfont": 11,
        "insetfont": 0 if row_height < 8 else min(size.inset_font, row_height * 0.75),
    }  # fmt: skip
