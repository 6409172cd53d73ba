"""The sizes in pixels of the figure's parts, for a screen and for a telephone."""

from __future__ import annotations

from dataclasses import dataclass, replace

STRIP = 34
FUNNEL = 30
LABELS = 26
CAPTION = 30
LETTER = 7.2  # pixels per letter of a label
CELL_MARGIN = 3  # pixels of a cell's width that its text leaves free
# So many rectangles with text a browser redraws smoothly; a section with more shows a picture.
LIVE_CELLS = 2500
# A figure that is narrower (in pixels) is laid out for a telephone.
SLIM = 520


@dataclass(frozen=True)
class Size:
    """The sizes of the parts in pixels; `columns` is the first section's number of positions."""

    inset: int
    gap: int
    section: int
    legend: int
    height: int
    overview: int
    columns: int

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
        return 12 if self.is_narrow else 15

    @property
    def inset_letters(self) -> int:
        """The number of letters of a token that fit into the inset."""
        return int(self.inset / (0.65 if self.is_narrow else 0.8) / self.inset_font)

    def two_lines(self, rows: float) -> bool:
        """Return whether each of the inset's `rows` cells has room for two lines of text."""
        return self.height / max(1, rows) >= 2.5 * self.inset_font

    @property
    def above(self) -> int:
        """The height between overview and section."""
        return FUNNEL + STRIP


def wide(rows: int) -> Size:
    """Return the sizes for a screen: next to the findings at 1440 pixels, or full width."""
    return Size(126, 48, 648, 14, _height(rows), _overview(rows), 12)


def narrow(rows: int) -> Size:
    """Return the sizes for a telephone."""
    return Size(58, 38, 148, 8, _height(rows), _overview(rows), 4)


def small(rows: int) -> Size:
    """Return the sizes for the output of a notebook cell."""
    return Size(112, 44, 460, 12, max(110, min(420, rows * 20)), _overview(rows) // 2, 7)


def fit_to_width(rows: int, pixels: int) -> Size:
    """Return the sizes for a figure of about `pixels` width.

    The proportions are those for a screen where they are readable, else those for a telephone, with
    the section as wide as the rest allows.
    """
    if pixels < SLIM:
        base = narrow(rows)
        section = pixels - base.inset - 2 * base.gap - base.legend - 24
        return replace(base, section=section, columns=max(1, section // 39))
    inset, gap = max(120, round(pixels * 0.1358)), max(48, round(pixels * 0.0517))
    section = pixels - inset - 2 * gap - 14 - 44
    return Size(inset, gap, section, 14, _height(rows), _overview(rows), round(section / 54))


def _height(rows: int) -> int:
    return max(140, min(900, round(rows * max(13, min(36, 420 / rows)))))


def _overview(rows: int) -> int:
    return max(56, min(120, rows * 7))
