"""Running text in a picture: paragraphs in lines of a given width, whose words are never cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby

from attentropy.report.export.fonts import has_sign, styled_widths
from attentropy.report.figures.specification import FONT

# A word with the blanks after it; a wide letter (Chinese, Japanese, Korean) is one by itself.
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uff60"
_WORD = re.compile(rf"[{_WIDE}]\s*|[^\s{_WIDE}]+\s*|\s+")
_LETTERS = re.compile(r".[\u0300-\u036f\ufe0f\u200d\U0001f3fb-\U0001f3ff]*", re.S)
# Letters that the font of Latin texts may lack. The converter draws a whole text in another font
# then, often a bold one, so that each such part of a line is a text of its own.
_OTHER_SCRIPT = re.compile(
    r"[\u0530-\u1dff\u2c00-\ufffd\U00010000-\U0010ffff]"
    r"(?:[\s\u200d]*[\u0300-\u036f\u0530-\u1dff\u2c00-\ufffd\U00010000-\U0010ffff])*"
)
_ISOLATES = str.maketrans("", "", "\u2066\u2067\u2068\u2069")
_SLACK = 0.96  # of the width, since another program's fonts may be wider
_LINE = 1.3  # height of a line, in font sizes


@dataclass(frozen=True)
class Run:
    """Text in one style; `colour` is the name of a colour of the page's palette."""

    text: str
    colour: str = "ink"
    is_bold: bool = False


@dataclass(frozen=True)
class Paragraph:
    """Runs of text in one font size (pixels), and the space below them."""

    runs: tuple[Run, ...]
    size: float
    below: float = 0.0

    @property
    def text(self) -> str:
        """The text without its styles."""
        return "".join(run.text for run in self.runs)


def draw_paragraphs(
    paragraphs: Sequence[Paragraph], left: float, top: float, width: float, colours: dict[str, str]
) -> tuple[str, float]:
    """Return the paragraphs as elements of an SVG, and the height that they take."""
    elements, y = [], top
    for paragraph in paragraphs:
        for line in _lines(paragraph, width * _SLACK):
            y += paragraph.size * _LINE
            baseline = y - 0.3 * paragraph.size
            for x, spans in _texts(line, paragraph.size, colours):
                elements.append(
                    f'<text x="{left + x:.2f}" y="{baseline:.2f}" '
                    f'font-size="{paragraph.size:g}px" xml:space="preserve">{spans}</text>'
                )
        y += paragraph.below
    if not elements:
        return "", 0.0
    return f'<g font-family="{FONT}">{"".join(elements)}</g>', y - top


def _texts(line: list[Run], size: float, colours: dict[str, str]) -> Iterator[tuple[float, str]]:
    """Yield where each text of a line begins, and its content.

    That is one text, or one per part where the line has letters of another script.
    """
    if not any(_OTHER_SCRIPT.search(run.text) for run in line):
        yield 0.0, "".join(_span(run, colours) for run in line)
        return
    x = 0.0
    parts = _in_visual_order([part for run in line for part in _scripts(run)])
    for part in parts:
        yield x, _span(part, colours)
        x += _widths([part], has_signs=has_sign(part.text))[part] * size


def _scripts(run: Run) -> Iterator[Run]:
    """Yield the parts of a run that are in letters of another script, and those between them."""
    end = 0
    for match in _OTHER_SCRIPT.finditer(run.text):
        if match.start() > end:
            yield replace(run, text=run.text[end : match.start()])
        yield replace(run, text=match[0])
        end = match.end()
    if end < len(run.text):
        yield replace(run, text=run.text[end:])


def _in_visual_order(parts: list[Run]) -> list[Run]:
    """Return the parts from left to right: those written from right to left are turned around.

    A part without letters, such as a blank, belongs to those around it.
    """
    ordered: list[Run] = []
    directions = [_direction(part.text) for part in parts]
    for i, own in enumerate(directions):
        if not own:
            after = next((d for d in directions[i + 1 :] if d), "L")
            before = directions[i - 1] if i else "L"
            directions[i] = "R" if before == after == "R" else "L"
    for direction, group in groupby(zip(directions, parts, strict=True), key=lambda pair: pair[0]):
        own_parts = [part for _, part in group]
        ordered += own_parts[::-1] if direction == "R" else own_parts
    return ordered


def _direction(text: str) -> str:
    """Return "R" or "L" for the direction of the first letter; empty without one."""
    kinds = (unicodedata.bidirectional(letter) for letter in text)
    return next(("L" if kind == "L" else "R" for kind in kinds if kind in ("L", "R", "AL")), "")


def _span(run: Run, colours: dict[str, str]) -> str:
    bold = ' font-weight="bold"' if run.is_bold else ""
    return f'<tspan fill="{colours[run.colour]}"{bold}>{escape(run.text)}</tspan>'


def _widths(words: Sequence[Run], *, has_signs: bool) -> dict[Run, float]:
    """Return the width of each word with its blanks, as a part of the font's size."""
    result: dict[Run, float] = {}
    for is_bold in (False, True):
        own = [word for word in words if word.is_bold == is_bold]
        # Blanks at an end have no width of their own: measure them between two letters.
        texts = {word.text: f"n{word.text}n" for word in own}
        measured = styled_widths({*texts.values(), "nn"}, is_bold=is_bold, has_signs=has_signs)
        result |= {word: measured[texts[word.text]] - measured["nn"] for word in own}
    return result


def _lines(paragraph: Paragraph, width: float) -> Iterator[list[Run]]:
    """Yield the runs of each line; a word that is wider than a line is divided."""
    words = [
        replace(run, text=word)
        for run in paragraph.runs
        for word in _WORD.findall(run.text.translate(_ISOLATES))
    ]
    has_signs = has_sign(paragraph.text)
    own = _widths(words, has_signs=has_signs)
    if any(own[word] * paragraph.size > width for word in words):
        words = [
            part
            for word in words
            for part in (_letters(word) if own[word] * paragraph.size > width else [word])
        ]
        own = _widths(words, has_signs=has_signs)
    line: list[Run] = []
    used_width = 0.0
    for word in words:
        room = own[word] * paragraph.size
        blank = 0.25 * paragraph.size if word.text[-1].isspace() else 0.0
        if line and used_width + room - blank > width and word.text.strip():
            yield line
            line, used_width = [], 0.0
        line = _joined(line, word)
        used_width += room
    if line:
        yield line


def _letters(word: Run) -> list[Run]:
    """Return the letters of a word, each with its accents."""
    return [replace(word, text=letter) for letter in _LETTERS.findall(word.text)]


def _joined(line: list[Run], word: Run) -> list[Run]:
    """Return the line with one more word, in the run before it where the style is the same."""
    last = line[-1] if line else None
    if last is not None and (last.colour, last.is_bold) == (word.colour, word.is_bold):
        return [*line[:-1], replace(last, text=last.text + word.text)]
    return [*line, word]
