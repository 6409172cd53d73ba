"""Rows of the figure by how far their lens can be read: heights, marks, labels and the strip.

Where many rows cannot be read they collapse to thin ones, so that the others have room. The marks
are drawn over the colours, which say nothing there:

- `unread`: y0, y1 of rows that cannot be read; `specks` and `overviewspecks`: y of lines of dots in
  them, in section and inset and in the overview;
- `pale`: y0, y1 of the texts of rows that can hardly be read, whose colours are a bar below them:
  colours that were only lighter would look like other values;
- `notes`: yc and text over collapsed rows;
- `strip`: y0, y1 and `share`, the length of the bar of each row's skill, and `striptitle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import altair as alt
import numpy as np

from attentropy.report.figures.marks import SPECK, UNREAD, VEIL, dataset, text_mark, y_scale
from attentropy.report.figures.sizes import LABELS, Size
from attentropy.report.figures.specification import Rows
from attentropy.report.read.readability import GUESS, PALE, UNREADABLE, Readability

MARKS = ("unread", "specks", "overviewspecks", "pale", "notes")
_STRIP = ("strip", "striptitle")
VEIL_OPACITY = 0.92  # pale enough that the page's ink can be read on every colour
_BAR = 0.25  # of a faded row's height, which keeps its colours: a bar below the texts

_THIN = 0.3  # height of a collapsed row as a part of the others'
_MANY = 4  # rows that cannot be read collapse from this number on
_APART = 6.0  # pixels between lines of dots
_LINE = 13  # pixels of a line of a note
_NOTE_WIDTH = 330  # pixels of a note, at most: a screen may be less wide than the layout
_CLOSE_NOTE_WIDTH = 220  # the same where columns of hidden sources leave less room
_NOTE_LETTER = 6.3  # pixels per letter of a note
_LABEL = 11  # pixels of a row's label
_PLATE = 14  # pixels of the seam of a note, which covers the frames also between its letters


@dataclass(frozen=True)
class RowLayout:
    """The rows of a view: their heights in units of a full row, and how each can be read."""

    heights: tuple[float, ...]
    kinds: tuple[str, ...]

    @property
    def edges(self) -> list[float]:
        """The lower edge of each row, and the upper one of the last, from 0."""
        return [0.0, *(round(float(edge), 4) for edge in np.cumsum(self.heights))]

    @property
    def total(self) -> float:
        """The height of all rows."""
        return self.edges[-1]

    def is_thin(self, row: int) -> bool:
        """Whether a row is collapsed, so that it has no text."""
        return self.heights[row] < 1

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the neighbouring full rows [first, stop), which share a picture."""
        for is_thin, run in groupby(range(len(self.heights)), self.is_thin):
            rows = list(run)
            if not is_thin:
                yield rows[0], rows[-1] + 1

    def spans(self, kind: str) -> Iterator[tuple[int, int]]:
        """Yield the neighbouring rows [first, stop) of one kind."""
        for own, run in groupby(range(len(self.kinds)), lambda row: self.kinds[row]):
            rows = list(run)
            if own == kind:
                yield rows[0], rows[-1] + 1


def row_layout(readability: Readability | None, rows: int) -> RowLayout:
    """Return the layout of `rows` rows; without a readability all are alike."""
    kinds = tuple(readability.kinds) if readability is not None else ("",) * rows
    unreadable = kinds.count(UNREADABLE)
    collapses = _MANY <= unreadable < rows
    heights = (_THIN if collapses and kind == UNREADABLE else 1.0 for kind in kinds)
    return RowLayout(tuple(heights), kinds)


def no_marks() -> dict[str, Rows]:
    """Return the datasets of a view without readability."""
    return {name: [] for name in (*MARKS, *_STRIP)}


def datasets(
    readability: Readability, layout: RowLayout, labels: Sequence[str], size: Size
) -> dict[str, Rows]:
    """Return the datasets of the marks; `labels` are the names of the rows."""
    edges = layout.edges
    shares = np.clip(readability.skill, 0, 1)
    return {
        "unread": _bands(layout, UNREADABLE),
        "pale": [
            {"y0": round(edges[row] + _BAR * layout.heights[row], 4), "y1": edges[row + 1]}
            for row, kind in enumerate(layout.kinds)
            if kind == PALE
        ],
        "specks": _specks(layout, size.height),
        "overviewspecks": _specks(layout, size.overview),
        "notes": _notes(layout, labels, size),
        "strip": [
            {"y0": edges[row], "y1": edges[row + 1], "share": round(float(share), 4)}
            for row, share in enumerate(shares)
            if np.isfinite(share)
        ],
        "striptitle": [{"text": "skill"}],
    }


def row_labels(layout: RowLayout, labels: Sequence[str], size: Size) -> Rows:
    """Return the names of the rows as far as there is room; thin ones have first and last."""
    edges = layout.edges
    shown = [
        (edges[row] + edges[row + 1], label)
        for row, label in enumerate(labels)
        if not layout.is_thin(row) and has_text(layout, row, size)
    ]
    pixels = size.height / max(layout.total, 1e-9)
    for start, stop in layout.spans(UNREADABLE):
        ends = [start, stop - 1]
        if not layout.is_thin(start):
            continue
        if (edges[stop] - edges[start] - _THIN) * pixels >= 2 * _LABEL:
            shown += [(edges[row] + edges[row + 1], labels[row]) for row in ends]
        elif (edges[stop] - edges[start]) * pixels >= _LABEL - 1:
            name = labels[start] if stop - start == 1 else f"{labels[start]}–{labels[stop - 1]}"
            shown.append((edges[start] + edges[stop], name))
    return [{"yc": double / 2, "text": text} for double, text in sorted(shown, key=lambda p: p[0])]


def bands(
    width: int | str, rows: str = "rowcount", *, specks: str = "specks"
) -> tuple[alt.Chart, ...]:
    """Return what covers the colours of rows that cannot be read, or hardly, over a view.

    `width`: its pixels, or the parameter that has them.
    """
    right = alt.X2Value(width if isinstance(width, int) else alt.ExprRef(width))

    def band(name: str, **mark: Any) -> alt.Chart:
        chart: alt.Chart = (
            dataset(name)
            .mark_rect(**mark)
            .encode(x=alt.XValue(0), x2=right, y=y_scale("y0:Q", rows), y2=alt.Y2("y1"))
        )
        return chart

    dots = (
        dataset(specks)
        .mark_rule(color=SPECK, strokeWidth=1.3, strokeDash=[1.3, 4.7])
        .encode(x=alt.XValue(2), x2=right, y=y_scale("y:Q", rows))
    )
    return band("pale", color=VEIL, opacity=VEIL_OPACITY), band("unread", color=UNREAD), dots


def notes(size: Size) -> tuple[alt.Chart, alt.Chart]:
    """Return the texts over collapsed rows, on a seam that covers the frames behind them."""

    def mark(**more: Any) -> alt.Chart:
        return text_mark(
            "notes", x=alt.XValue(alt.ExprRef("section / 2")), y=y_scale("yc:Q"), color="muted",
            align="center", baseline="middle", fontSize=10 if size.is_narrow else 12,
            fontWeight="bold", lineBreak="\n", **more,
        )  # fmt: skip

    return mark(stroke=UNREAD, strokeWidth=_PLATE, strokeJoin="round"), mark()


def strip(size: Size) -> tuple[alt.Chart, alt.Chart]:
    """Return the bars of the rows' skill at the right of the section."""
    left, width = strip_pixels(size)

    def bar(share: str, **mark: Any) -> alt.Chart:
        chart: alt.Chart = (
            dataset("strip")
            .mark_rect(**mark)
            .encode(
                x=alt.XValue(alt.ExprRef(f"section + {left}")),
                x2=alt.X2Value(alt.ExprRef(f"section + {left} + {width} * {share}")),
                y=y_scale("y0:Q"),
                y2=alt.Y2("y1"),
            )
        )
        return chart

    return bar("1", color=UNREAD), bar("datum.share", color=SPECK)


def strip_title(size: Size) -> alt.Chart:
    """Return the name of the strip, below it."""
    left, width = strip_pixels(size)
    return text_mark(
        "striptitle", x=alt.XValue(alt.ExprRef(f"section + {left + width / 2}")),
        y=alt.YValue(LABELS / 2), align="center", baseline="middle",
        fontSize=10 if size.is_narrow else 11,
    )  # fmt: skip


def strip_pixels(size: Size) -> tuple[int, int]:
    """Return the left end of the strip, in pixels from the section's right, and its width."""
    return (5, 14) if size.is_narrow else (6, 20) if size.hidden else (8, 24)


def has_text(layout: RowLayout, row: int, size: Size) -> bool:
    """Return whether a full row has texts and a label; of many rows only some have room, from top.

    The page's script has the same in `data/readable.js`.
    """
    return (len(layout.heights) - 1 - row) % size.text_step(layout.total) == 0


def _bands(layout: RowLayout, kind: str) -> Rows:
    edges = layout.edges
    return [{"y0": edges[start], "y1": edges[stop]} for start, stop in layout.spans(kind)]


def _specks(layout: RowLayout, height: int) -> Rows:
    """Return the lines of dots, so many that they stand about `_APART` pixels apart."""
    edges, pixels = layout.edges, height / max(layout.total, 1e-9)
    lines: Rows = []
    for start, stop in layout.spans(UNREADABLE):
        low, high = edges[start], edges[stop]
        many = max(1, round((high - low) * pixels / _APART))
        lines += [{"y": round(low + (high - low) * (i + 0.5) / many, 4)} for i in range(many)]
    return lines


def _notes(layout: RowLayout, labels: Sequence[str], size: Size) -> Rows:
    """Return a note over each run of collapsed rows that has room for one."""
    edges, pixels = layout.edges, size.height / max(layout.total, 1e-9)
    texts: Rows = []
    for start, stop in layout.spans(UNREADABLE):
        if not layout.is_thin(start):
            continue
        name = f"layer {labels[start]}"
        if stop - start > 1:
            name = f"layers {labels[start]}–{labels[stop - 1]}"
        room = (edges[stop] - edges[start]) * pixels
        for text in (f"{name}: {GUESS}", f"{name}: skill ≤ 0", name):
            lines = _wrapped(text, int(_note_width(size) / _NOTE_LETTER))
            if len(lines) * _LINE <= room:
                up = (len(lines) - 1) * _LINE / 2 / pixels  # the first line stands at its place
                middle = (edges[start] + edges[stop]) / 2
                texts.append({"yc": middle + up, "text": "\n".join(lines)})
                break
    return texts


def _note_width(size: Size) -> int:
    """Return the pixels of a note: a screen may show fewer columns than the layout has."""
    return min(size.section, _CLOSE_NOTE_WIDTH if size.hidden else _NOTE_WIDTH)


def _wrapped(text: str, letters: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > letters:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
