"""The datasets of the heatmap figure in its first state: the colour and the text of each cell.

The page's script makes the same datasets when the view moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.figures import hidden_sources, histogram, legend, readable_rows
from attentropy.report.figures.column_labels import (
    character_labels,
    label_letters,
    numbers,
)
from attentropy.report.figures.hatch import hatch
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.readable_rows import RowLayout, row_layout
from attentropy.report.figures.sizes import CAPTION_LETTERS, LIVE_CELLS, Size
from attentropy.report.figures.specification import Row, Rows
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, hexes, inks
from attentropy.report.read.cells import names_answer
from attentropy.report.read.readability import PALE, UNREADABLE
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.views import View
from attentropy.report.scale import Scale
from attentropy.report.text import label
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
    layout: RowLayout | None = None,
    named: np.ndarray | None = None,
) -> Rows:
    """Return one row per cell of values [rows, columns], with row 0 at the bottom.

    The left column stands at position `first`. By default all rows of the `layout` are alike.
    `named`: whether each cell names the answer's token, [rows, columns].
    """
    layout = layout or row_layout(None, len(values))
    edges = layout.edges
    rgb = scale.colors(values, palette)
    fills, tints = hexes(rgb), inks(rgb)
    width = values.shape[1]
    return [
        {
            "x0": first + c, "x1": first + c + 1, "xc": first + c + 0.5,
            "y0": edges[r], "y1": edges[r + 1], "yc": (edges[r] + edges[r + 1]) / 2,
            "text": texts[r][c], "fill": fills[r * width + c], "tint": tints[r * width + c],
            **_marks_of(layout, r),
            **({"named": True} if named is not None and named[r, c] else {}),
        }
        for r in range(values.shape[0])
        for c in range(width)
    ]  # fmt: skip


def _marks_of(layout: RowLayout, row: int) -> Row:
    """Return what a cell says of its row; nothing where that is as readable as can be."""
    if layout.kinds[row] == PALE:
        return {"pale": True}
    if layout.kinds[row] != UNREADABLE:
        return {}
    return {"muted": True, "thin": True} if layout.is_thin(row) else {"muted": True}


def tiles(
    values: np.ndarray,
    layout: RowLayout,
    scale: Scale,
    start: int = 0,
    step: int = 1,
    palette: str = "diverging",
) -> Rows:
    """Return the rows that are not collapsed as pictures, one per run of neighbours; see `tile`."""
    pictures: Rows = []
    for first, stop in layout.runs():
        for picture in tile(values[first:stop], scale, start, step, palette):
            pictures.append(picture | {"y0": layout.edges[first], "y1": layout.edges[stop]})
    return pictures


def tile(
    values: np.ndarray, scale: Scale, start: int = 0, step: int = 1, palette: str = "diverging"
) -> Rows:
    """Return the cells from position `start` on as one picture, whose top row is the last layer.

    If there are many positions, each column is the mean of several, but at least of `step`.
    """
    size, means = tile_means(values, step)
    image = png(*scale.shades(means[::-1], palette))
    rows, columns = means.shape
    return [
        {"x0": start, "x1": start + columns * size, "y0": 0, "y1": rows, "url": data_uri(image)}
    ]


def tile_means(values: np.ndarray, step: int = 1) -> tuple[int, np.ndarray]:
    """Return the number of positions per column of a picture, and their means [rows, columns].

    `step` is the smallest number of positions per column.
    """
    size = tile_step(values, step)
    return size, values if size == 1 else planes.make_tiles(values, size).mean


def tile_step(values: np.ndarray, step: int) -> int:
    """Return the number of positions per column of a picture, at least `step`."""
    return max(step, planes.tile_size(values.shape[1], _PICTURE_COLUMNS))


def datasets(
    trace: Trace,
    size: Size,
    placement: Placement,
    view: View,
    rows: Sequence[str],
    palette: str = "diverging",
    hidden: hidden_sources.HiddenWord | None = None,
) -> dict[str, Rows]:
    """Return every dataset of `heatmap` for a view; `rows` are the labels of its rows.

    hidden: the word whose columns of hidden sources stand next to the section.
    """
    legend_rows, ticks = legend.ramp_and_ticks(view.scale, palette)
    layout = row_layout(view.readability, len(rows))
    return {
        "one": [{"o": 1}],
        "tile": tiles(view.values, layout, view.scale, 0, view.step, palette),
        "overviewhatch": _overview_hatch(view, layout, size),
        **_section_datasets(trace, size, placement, view, palette, layout),
        **_row_labels(rows, layout, size),
        **_inset_datasets(trace, size, placement.column, view, palette, layout),
        **readable_rows_of(view, layout, rows, size),
        **(hidden_sources.datasets(hidden, layout, size) if size.hidden else {}),
        "pins": [],
        "matches": [],
        "matchespart": [],
        "legend": legend_rows,
        "ticks": ticks,
        "ends": legend.end_words(view.scale, size),
        "histogram": _bars(view, placement) if size.bars else [],
        "legendtitle": [{"text": view.title}],
        "caption": [{"text": in_lines(placement.caption, size)}],
        "overviewtitle": [{"text": overview_title(len(trace.tokens), view, rows, size)}],
    }


def in_lines(caption: str, size: Size) -> str:
    """Return the caption of the box, in two lines on a telephone, the first one the longer."""
    if not size.is_narrow or len(caption) <= CAPTION_LETTERS:
        return caption
    at = caption.rfind(" ", 0, CAPTION_LETTERS + 1)
    if caption.startswith(" %", at):  # which stays at its number
        at = caption.rfind(" ", 0, at)
    return f"{caption[:at]}\n{caption[at + 1 :]}" if at > 0 else caption


def _overview_hatch(view: View, layout: RowLayout, size: Size) -> Rows:
    """Return the lines where the columns of the overview lack values."""
    step = tile_step(view.values, view.step)
    return hatch(view.values, layout, 0, step, size.total, size.overview)


def _bars(view: View, placement: Placement) -> Rows:
    """Return the histogram of the values of overview and section."""
    shown = tile_means(view.values, view.step)[1], view.values[:, placement.start : placement.stop]
    kinds = view.readability.kinds if view.readability is not None else []
    rows = [row for row in range(len(view.values)) if not kinds or kinds[row] != UNREADABLE]
    return histogram.bars((values[rows] for values in shown), view.scale)


def readable_rows_of(
    view: View, layout: RowLayout, rows: Sequence[str], size: Size
) -> dict[str, Rows]:
    """Return the marks of rows by how far their lens can be read; empty where nobody knows."""
    if view.readability is None:
        return readable_rows.no_marks()
    return readable_rows.datasets(view.readability, layout, rows, size)


def _section_datasets(
    trace: Trace, size: Size, placement: Placement, view: View, palette: str, layout: RowLayout
) -> dict[str, Rows]:
    """Return the section as rectangles with text if there are few, else as a picture."""
    start, stop = placement.start, placement.stop
    values, scale = view.values[:, start:stop], view.scale
    letters = label_letters(size, stop - start)
    columns = numbers(start, stop, size.section)
    if letters >= 2:
        columns = character_labels(trace, start, stop, letters)
    if not is_live(size, stop - start, len(values)):
        pictures = tiles(values, layout, scale, start, 1, palette)
        missing = hatch(values, layout, start, tile_step(values, 1), size.section, size.height)
        return {"part": pictures, "cells": [], "columns": columns, "hatch": missing}
    missing = hatch(values, layout, start, 1, size.section, size.height)
    texts = _spaced(view.texts(start, stop, cell_letters(size, stop - start)), layout, size)
    named = names_answer(trace, slice(start, stop)) if view.name == "lens" else None
    cells = grid(values, texts, start, scale, palette, layout, named)
    return {"part": [], "cells": cells, "columns": columns, "hatch": missing}


def _spaced(texts: CellTexts, layout: RowLayout, size: Size) -> CellTexts:
    """Return the texts of the rows that have room for them, "" in the others."""
    return [
        row if readable_rows.has_text(layout, r, size) else [""] * len(row)
        for r, row in enumerate(texts)
    ]


def _row_labels(rows: Sequence[str], layout: RowLayout, size: Size) -> dict[str, Rows]:
    return {
        "rows": readable_rows.row_labels(layout, rows, size),
        "rowtitle": [{"text": "layer"}],
        "overviewlabels": [{"y": 0.06, "text": rows[0]}, {"y": 0.94, "text": rows[-1]}],
    }


def _inset_datasets(
    trace: Trace, size: Size, column: int, view: View, palette: str, layout: RowLayout
) -> dict[str, Rows]:
    texts = _spaced(inset_texts(view, size, column, size.inset_letters), layout, size)
    values, span = view.values[:, column : column + 1], slice(column, column + 1)
    named = names_answer(trace, span) if view.name == "lens" else None
    cells = grid(values, texts, 0, view.scale, palette, layout, named)
    name = label(trace.tokens[column], min(16, int(size.inset / 6.5)))
    return {
        "insethatch": hatch(values, layout, 0, 1, size.inset, size.height),
        "inset": _raise_two_lines(cells, size, layout.total),
        "insetrows": [],
        "insetcolumns": [{"xc": 0.5, "text": name}],
        "insettitle": [{"text": f"{view.column_title(is_narrow=size.is_narrow)} {column:,}"}],
    }


def overview_title(n: int, view: View, rows: Sequence[str], size: Size) -> str:
    """Return the title of the overview of n positions, and where its lens is readable."""
    number_read = int(np.isfinite(view.values).any(0).sum())
    is_sampled = number_read < len(view.values[0])
    which_read = " compared" if view.scale.kind == "diverging" else " read"
    mean = f"; a column is the mean of {view.step}" if view.step > 1 else ""
    if is_sampled and mean:
        mean = f"; a column is the mean of those read among {view.step}"
    which = f"{number_read:,} of " if is_sampled else "all " if n > 1 else ""
    title = f"{which}{count(n, 'position')}{which_read * is_sampled}"
    if size.is_narrow and mean:  # a title that is wider than the figure would shrink its labels
        return f"{title}; mean of {view.step} per column"
    title += f", every layer{mean}"
    if view.readability is None or size.is_narrow:
        return title
    return f"{title}; {view.readability.title(rows)}"


def _raise_two_lines(inset: list[Row], size: Size, total: float) -> Rows:
    """Move the texts of two lines up by half a line, so that they stand in the middle of a cell."""
    line = size.inset_font + 2  # the height of a line in pixels, as Vega computes it
    for cell in inset:
        if isinstance(cell["text"], list):
            cell["yc"] += line / 2 * total / size.height
    return inset


def inset_texts(view: View, size: Size, column: int, letters: int) -> CellTexts:
    """Return the texts of the magnified column, cut to `letters`."""
    has_two_lines = size.two_lines(row_layout(view.readability, len(view.values)).total)
    return view.inset_texts(column, letters, has_two_lines=has_two_lines)


def is_live(size: Size, columns: int, rows: int) -> bool:
    """Return whether the cells of the section are rectangles with text, not a picture."""
    return label_letters(size, columns) >= 2 and rows * columns <= LIVE_CELLS


def cell_letters(size: Size, columns: int) -> int:
    """Return the number of letters to which the texts of a section's cells are cut."""
    return min(12, label_letters(size, columns))


def state(trace: Trace, size: Size, placement: Placement, view: View) -> Row:
    """Return the first values of the figure's parameters."""
    rows = row_layout(view.readability, len(view.values)).total
    return {
        "n": trace.dataset.sizes["position"], "rowcount": rows,
        "a": placement.start, "b": placement.stop, "col": placement.column,
        "box0": placement.box_start, "box1": placement.box_stop, "split": trace.prompt_tokens,
        "reasoned": reasoning_end(trace),
        "insetwidth": 1, "insetheight": rows,
        **LIGHT,
        "section": size.section, "total": size.total,
        "cellfont": size.cell_font(rows),
        "labelfont": 11,
        "insetfont": size.cell_font(rows, size.inset_font),
    }  # fmt: skip
