"""Pixels of the figure's parts, for a screen and for a telephone."""

from __future__ import annotations

from dataclasses import dataclass, replace

STRIP = 34
FUNNEL = 30
LABELS = 26
CAPTION = 30
# Rectangles with text that a browser redraws smoothly; wider sections show a picture.
LIVE_CELLS = 2500
# Pixels under which a figure is laid out for a telephone.
SLIM = 520


@dataclass(frozen=True)
class Size:
    """Pixels of the parts; `columns` is how many positions a section shows at first."""

    inset: int
    gap: int
    section: int
    legend: int
    height: int
    overview: int
    columns: int

    @property
    def left(self) -> int:
        """Where the section begins."""
        return self.inset + self.gap

    @property
    def total(self) -> int:
        """Width of inset and section together: that of the overview."""
        return self.left + self.section

    @property
    def inset_font(self) -> int:
        """Pixels of the inset's text: larger than the section's where there is room."""
        return 15 if self.inset > 100 else 12

    @property
    def inset_letters(self) -> int:
        """How many letters of a token fit into the inset."""
        return int(self.inset / (0.8 if self.inset > 100 else 0.65) / self.inset_font)

    def two_lines(self, rows: int) -> bool:
        """Whether each of the inset's `rows` cells has room for a text upon another."""
        return self.height / max(1, rows) >= 2.5 * self.inset_font

    @property
    def above(self) -> int:
        """Height of what lies between overview and section."""
        return FUNNEL + STRIP


def wide(rows: int) -> Size:
    """For a screen, the findings beside it at 1440 pixels, or a page's full width."""
    return Size(126, 48, 648, 14, _height(rows), _overview(rows), 12)


def narrow(rows: int) -> Size:
    """For a telephone."""
    return Size(58, 34, 156, 8, _height(rows), _overview(rows), 4)


def small(rows: int) -> Size:
    """For the output of a notebook's cell."""
    return Size(112, 44, 460, 12, max(110, min(420, rows * 20)), _overview(rows) // 2, 7)


def fitted(rows: int, pixels: int) -> Size:
    """For a figure some `pixels` wide: the proportions of a screen's where they can be read, else a
    telephone's with the section taking the rest."""
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
