"""A picture with its texts: a headline above the figure, the caption below it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attentropy.report.export.fonts import name_sign_font
from attentropy.report.export.image_files import pixels
from attentropy.report.export.paragraphs import Paragraph, draw_paragraphs

_MARGIN = 6.0  # pixels between the edge and the texts
_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_START = re.compile(r"<svg\b")


def compose(
    figure: str, above: Sequence[Paragraph], below: Sequence[Paragraph], colours: dict[str, str]
) -> str:
    """Return the figure (SVG) with paragraphs above and below it, as wide as the figure."""
    width, height = pixels(figure)
    room = width - 2 * _MARGIN
    start = _MARGIN if above else 0.0
    head, head_height = draw_paragraphs(above, _MARGIN, start, room, colours)
    top = head_height + start
    foot, foot_height = draw_paragraphs(below, _MARGIN, top + height, room, colours)
    total = top + height + (foot_height + _MARGIN if below else 0.0)
    placed = _START.sub(f'<svg x="0" y="{top:.2f}"', figure, count=1)
    size = f'width="{width:g}" height="{total:.2f}"'
    paper = f'<rect width="{width:g}" height="{total:.2f}" fill="{colours["paper"]}"/>'
    texts = name_sign_font(head + foot)
    view = f'viewBox="0 0 {width:g} {total:.2f}"'
    return f'<svg {_NAMES} version="1.1" {size} {view}>{paper}{placed}{texts}</svg>'
