"""The sizes in pixels of the figure's parts, for a screen and for a telephone."""

from __future__ import annotations

import math
from dataclasses import dataclass

FUNNEL = 14  # between overview and strip: the lines from the frame to the section
STRIP = 32  # above the section: the arrow, and the word at the line where the answer begins
LABELS = 24
CAPTION = 26
CAPTION_LETTERS = 44  # of a line of the caption, on a telephone
LETTER = 7.2  # pixels per letter of a label
COLUMN, SLIM_COLUMN = 61, 34  # pixels of a column, on a screen and on a telephone
CLOSE_COLUMN = 57  # where columns of hidden sources stand next to the section
HIDDEN, HIDDEN_GAP = 52, 6  # pixels of a column of a hidden source, and between two of them
ROW_FONT = 0.8  # of a row's height, for the text of its cells
CELL_MARGIN = 3  # pixels of a cell's width that its text leaves free
# So many rectangles with text a browser redraws smoothly; a section with more shows a picture.
LIVE_CELLS = 2500
# A figure that is narrower (in pixels) is laid out for a telephone.
SLIM = 520

_TEXT_ROW = 12.5  # pixels that a line of cells needs for its text
_MOST_HEIGHT = 404  # pixels of the section, so that the whole figure is seen at once


@dataclass(frozen=True)
class Size:
    """The sizes of the parts in pixels; `columns` is the first section's number of positions.

    `hidden` is the width of the columns of hidden sources, which share the section's rows; 0: none.
    """

    inset: int
    gap: int
    section: int
    legend: int
    height: int
    overview: int
    columns: int
    hidden: int = 0

    @property
    def is_narrow(self) -> bool:
        """Whether the sizes are those for a telephone."""
        return self.inset <= 100

    @property
    def left(self) -> int:
        """The left edge of the section."""
        return self.inset + self.gap

    @property
    def total(self) -> int:
        """The width of inset and section together, which is the width of the overview."""
        return self.left + self.section

    @property
    def inset_font(self) -> int:
        """The font size of the inset: larger than that of the section if there is room."""
        return 12 if self.is_narrow else 13 if self.hidden else 15

    @property
    def inset_letters(self) -> int:
        """The number of letters of a token that fit into the inset."""
        return int(self.inset / (0.65 if self.is_narrow else 0.8) / self.inset_font)

    @property
    def margins(self) -> tuple[int, int]:
        """The pixels left and right of the parts, for labels."""
        return (36, 26) if self.is_narrow else (40, 42)

    @property
    def column(self) -> int:
        """The width of a column when the page opens."""
        if self.hidden:
            return CLOSE_COLUMN
        return SLIM_COLUMN if self.is_narrow else COLUMN

    @property
    def right(self) -> int:
        """The pixels right of the section: gaps, columns of hidden sources, and the legend."""
        return self.gap + self.legend + (self.hidden + self.gap if self.hidden else 0)

    @property
    def ramp(self) -> int:
        """The width of the legend's colours; the histogram has the rest of the legend."""
        return min(self.legend, 8 if self.is_narrow else 14)

    @property
    def bars(self) -> int:
        """The width of the legend's histogram; 0 where it has none."""
        return max(0, self.legend - self.ramp - 2)

    def text_step(self, rows: float) -> int:
        """Return the number of rows per row with texts: 1 where each has room for its own."""
        return max(1, math.ceil(_TEXT_ROW * max(1, rows) / self.height))

    def cell_font(self, rows: float, largest: float = 11) -> float:
        """Return the font size of the cells of `rows` rows."""
        return min(largest, self.height / max(1, rows) * self.text_step(rows) * ROW_FONT)

    def two_lines(self, rows: float) -> bool:
        """Return whether each of the inset's `rows` cells has room for two lines of text."""
        return self.height / max(1, rows) >= 2 * (self.inset_font + 2)

    @property
    def above(self) -> int:
        """The height between overview and section."""
        return FUNNEL + STRIP


def wide(rows: int, positions: int = 0, hidden: int = 0) -> Size:
    """Return the sizes for a screen; a page that is wider or less wide has more or fewer columns.

    A prompt of so few `positions` that the section has all of them has a flat overview. `hidden`:
    how many columns of hidden sources stand next to the section, which is less wide by them.
    """
    inset, gap, columns, width = 122, 40, 11, COLUMN
    if hidden:
        hidden = max(2, hidden)  # the title above them needs as much room
        inset, gap, columns, width = 104, 36, 12 - hidden, CLOSE_COLUMN
    return Size(
        inset, gap, columns * width, 50, _height(rows), _overview(positions, columns), columns,
        hidden * (HIDDEN + HIDDEN_GAP) - HIDDEN_GAP if hidden else 0,
    )  # fmt: skip


def narrow(rows: int, positions: int = 0) -> Size:
    """Return the sizes for a telephone; see `wide`."""
    columns = 6
    return Size(
        48, 28, columns * SLIM_COLUMN, 8, _height(rows), _overview(positions, columns), columns
    )


def small(rows: int) -> Size:
    """Return the sizes for the output of a notebook cell."""
    return Size(112, 44, 460, 12, max(110, min(420, rows * 20)), _printed_overview(rows) // 2, 7)


def fit_to_width(rows: int, pixels: int) -> Size:
    """Return the sizes for a figure of about `pixels` width, as high as its rows need.

    The proportions are those for a screen where they are readable, else those for a telephone, with
    the section as wide as the rest allows.
    """
    height, overview = _printed_height(rows), _printed_overview(rows)
    if pixels < SLIM:
        inset, gap, legend = 58, 38, 8
        section = pixels - inset - 2 * gap - legend - 24
        return Size(inset, gap, section, legend, height, overview, max(1, section // 39))
    inset, gap = max(120, round(pixels * 0.1358)), max(48, round(pixels * 0.0517))
    section = pixels - inset - 2 * gap - 14 - 44
    return Size(inset, gap, section, 14, height, overview, round(section / 54))


def _height(rows: int) -> int:
    return max(140, min(_MOST_HEIGHT, rows * 36))


def _overview(positions: int, columns: int) -> int:
    return 40 if 0 < positions <= columns else 56


def _printed_height(rows: int) -> int:
    return max(140, min(900, round(rows * max(13, min(36, 420 / rows)))))


def _printed_overview(rows: int) -> int:
    return max(56, min(120, rows * 7))
