"""The figure's datasets for one state: which cell has which colour and text.

The page's script makes the same datasets when the view moves; this is the picture it starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import LIVE_CELLS, Size
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, colors, hexes, inks, shades
from attentropy.report.planes import step, tiles
from attentropy.report.read.views import View
from attentropy.report.scale import Scale
from attentropy.report.text import short

_STILL = 1024  # columns of a picture that nobody zooms into

Rows = list[dict[str, Any]]


def grid(
    values: np.ndarray,
    texts: Sequence[Sequence[str | list[str]]],
    first: int,
    scale: Scale,
    palette: str = "diverging",
) -> Rows:
    """Cells of values [rows, columns], the left column at position `first`, row 0 at the bottom."""
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
    values: np.ndarray, scale: Scale, start: int = 0, least: int = 1, palette: str = "diverging"
) -> Rows:
    """Cells from position `start` on as one image, its top row the last layer; where they are many,
    each column is the mean of several, `least` or more."""
    size, means = tiled(values, least)
    image = png(*shades(scale.at(means[::-1]), 0, 1, palette))
    rows, columns = means.shape
    return [
        {"x0": start, "x1": start + columns * size, "y0": 0, "y1": rows, "url": data_uri(image)}
    ]


def tiled(values: np.ndarray, least: int = 1) -> tuple[int, np.ndarray]:
    """How many positions share a column of that image, and their means [rows, columns]."""
    size = max(least, step(values.shape[1], _STILL))
    return size, values if size == 1 else tiles(values, size).mean


def numbers(start: int, stop: int, pixels: int) -> Rows:
    """Round positions to write under columns that are too narrow for their tokens."""
    every = round_step((stop - start) * 90 / pixels)
    first = -(-start // every) * every
    return [{"xc": at + 0.5, "text": f"{at:,}"} for at in range(first, stop, every)]


def round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that is no less."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10


def legend(scale: Scale, palette: str = "diverging") -> tuple[Rows, Rows]:
    """The colour ramp, and the values at its ends and its middle."""
    steps = 64
    fills = hexes(colors((np.arange(steps) + 0.5) / steps, 0, 1, palette))
    ramp = [
        {"y0": i / steps, "y1": min(1, (i + 1.3) / steps), "fill": fill}
        for i, fill in enumerate(fills)
    ]
    return ramp, [{"y": at, "text": text} for at, text in scale.ticks()]


def datasets(
    trace: Trace,
    size: Size,
    placed: Placement,
    view: View,
    rows: Sequence[str],
    palette: str = "diverging",
) -> dict[str, Rows]:
    """Every dataset of `heatmap` for a view whose rows are called `rows`."""
    values, scale, tokens = view.values, view.scale, trace.tokens
    span, columns = slice(placed.start, placed.stop), placed.stop - placed.start
    letters = label_letters(size, columns)
    live = is_live(size, columns, len(rows))
    ramp, ticks = legend(scale, palette)
    column = placed.column
    said = _inset_texts(view, size, column)
    inset = _lined(grid(values[:, column : column + 1], said, 0, scale, palette), size)
    every = max(1, round(len(rows) / 24))
    labels = [{"yc": i + 0.5, "text": rows[i]} for i in range(0, len(rows), every)]
    texts = view.texts(placed.start, placed.stop, min(12, letters)) if live else []
    return {
        "one": [{"o": 1}],
        "tile": tile(values, scale, 0, view.step, palette),
        "part": [] if live else tile(values[:, span], scale, placed.start, 1, palette),
        "cells": grid(values[:, span], texts, placed.start, scale, palette) if live else [],
        "columns": [
            {"xc": i + 0.5, "text": short(tokens[i], letters)}
            for i in range(placed.start, placed.stop)
        ]
        if letters >= 2
        else numbers(placed.start, placed.stop, size.section),
        "rows": labels,
        "rowtitle": [{"text": "layer"}],
        "inset": inset,
        "insetrows": [],
        "insetcolumns": [
            {"xc": 0.5, "text": short(tokens[column], min(16, int(size.inset / 6.5)))}
        ],
        "insettitle": [{"text": f"{view.column_title(is_narrow=size.inset <= 100)} {column:,}"}],
        "pins": [],
        "matches": [],
        "matchespart": [],
        "legend": ramp,
        "ticks": ticks,
        "legendtitle": [{"text": view.title}],
        "caption": [{"text": placed.caption}],
        "overviewlabels": [{"y": 0.06, "text": rows[0]}, {"y": 0.94, "text": rows[-1]}],
        "overviewtitle": [{"text": overview_title(len(tokens), view.step)}],
    }


def overview_title(n: int, size: int) -> str:
    """What a column of the overview is."""
    many = f", each column the mean of {size}" if size > 1 else ""
    return f"all {n:,} positions, every layer{many}"


def _lined(inset: Rows, size: Size) -> Rows:
    """Cells with two lines of text, which begin higher than one line stands."""
    line = size.inset_font + 2  # pixels, as Vega has it
    for cell in inset:
        if isinstance(cell["text"], list):
            cell["yc"] += line / 2 * len(inset) / size.height
    return inset


def _inset_texts(view: View, size: Size, column: int) -> Sequence[Sequence[str | list[str]]]:
    """Return the texts of the magnified column."""
    has_two_lines = size.two_lines(len(view.values))
    return view.inset_texts(column, size.inset_letters, has_two_lines=has_two_lines)


def is_live(size: Size, columns: int, rows: int) -> bool:
    """Whether the section's cells are rectangles with text, and not a picture."""
    return label_letters(size, columns) >= 2 and rows * columns <= LIVE_CELLS


def label_letters(size: Size, columns: int) -> int:
    """How many letters fit under one column of the section; fewer than two are not worth it."""
    return int(size.section / max(1, columns) / 7.2)


def state(trace: Trace, size: Size, placed: Placement, rows: int) -> dict[str, Any]:
    """First values of the figure's parameters."""
    high = size.height / max(1, rows)
    return {
        "n": trace.dataset.sizes["position"], "rowcount": rows,
        "a": placed.start, "b": placed.stop, "col": placed.column,
        "box0": placed.box_start, "box1": placed.box_stop,
        "insetwidth": 1, "insetheight": rows,
        **LIGHT,
        "cellfont": 0 if high < 8 else min(12, high * 0.7),
        "labelfont": 11,
        "insetfont": 0 if high < 8 else min(size.inset_font, high * 0.75),
    }  # fmt: skip
