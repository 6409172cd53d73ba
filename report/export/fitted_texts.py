"""Texts of cells that fit their cells, as the converter measures them.

Vega's own `limit` does not serve: it cuts within a character of two code units, such as an emoji,
on which the converter fails, and it would cut a pair of tokens at its end alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attentropy.report.export.fonts import widths
from attentropy.report.figures.heatmap_data import CellTexts
from attentropy.report.figures.specification import Rows

CellText = str | list[str]

_FEWEST = 2  # letters to which a text may be cut


def fit_texts(
    cells: Rows, texts_of: Callable[[int], CellTexts], letters: int, room: float, font_size: float
) -> None:
    """Cut the texts of `cells` to `room` pixels, in place.

    `texts_of` returns the texts [row][column] cut to a number of letters: of a pair, each side is
    cut. The texts of `cells`, row by row, are those of `letters`.
    """
    wide = _too_wide(range(len(cells)), [cell["text"] for cell in cells], room, font_size)
    while wide and letters > _FEWEST:
        letters -= 1
        texts = [text for row in texts_of(letters) for text in row]
        for index in wide:
            cells[index]["text"] = texts[index]
        wide = _too_wide(wide, texts, room, font_size)


def _too_wide(
    indices: Sequence[int], texts: Sequence[CellText], room: float, font_size: float
) -> list[int]:
    """Return those of the indices whose text is wider than the room."""
    lines = {index: _lines(texts[index]) for index in indices}
    measured = widths(line for own in lines.values() for line in own)
    return [
        index
        for index, own in lines.items()
        if any(measured[line] * font_size > room for line in own)
    ]


def _lines(text: CellText) -> list[str]:
    return text if isinstance(text, list) else [text]
