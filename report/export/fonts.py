"""The fonts of an exported figure: how wide its texts are, and one that has the project's signs.

The converter draws a whole text in another font, often a serif or a bold one, if its font lacks a
single character, such as the arrow between two tokens. So texts with such a sign name a font that
has the signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from attentropy.report import vega
from attentropy.report.figures.specification import FONT

_SIGNS = "→−≥≤≠⏎␣⍽␍⇥"
_SIGN_FONT = f"'DejaVu Sans', 'Liberation Sans', {FONT}"
_TEXT = re.compile(r"<text\b([^>]*)(?<!/)>(.*?)</text>", re.S)  # no empty one
_MEASURED = 100  # the font size in pixels at which texts are measured


def has_sign(text: str) -> bool:
    """Return whether the text has a sign that many fonts lack."""
    return any(sign in text for sign in _SIGNS)


def name_sign_font(picture: str) -> str:
    """Return an SVG in which texts with a sign name a font that has it."""

    def named(text: re.Match[str]) -> str:
        attributes, content = text.groups()
        if "font-family" in attributes or not has_sign(content):
            return text[0]
        return f'<text{attributes} font-family="{_SIGN_FONT}">{content}</text>'

    return _TEXT.sub(named, picture)


def widths(texts: Iterable[str]) -> dict[str, float]:
    """Return the widths of texts as parts of the font's size, as the converter measures them.

    The width of a text with a sign is the larger one of its two fonts.
    """
    distinct = sorted(set(texts))
    signed = [text for text in distinct if has_sign(text)]
    result = _measured(distinct, FONT)
    for text, width in _measured(signed, _SIGN_FONT).items():
        result[text] = max(result[text], width)
    return result


def overhang(texts: Iterable[str]) -> float:
    """Return how much wider than Vega knows texts with a sign may be: a part of the font's size."""
    plain = _measured(sorted(set(texts)), FONT)
    return max((width - plain[text] for text, width in widths(plain).items()), default=0.0)


def styled_widths(texts: Iterable[str], *, is_bold: bool, has_signs: bool) -> dict[str, float]:
    """Return the widths of words, bold or not; in a text with a sign, all are in the signs' font.

    Of the two fonts that such a text may have, the wider one counts.
    """
    distinct = sorted(set(texts))
    result = _measured(distinct, FONT, is_bold=is_bold)
    if has_signs:
        signed = _measured(distinct, _SIGN_FONT, is_bold=is_bold)
        result = {text: max(width, signed[text]) for text, width in result.items()}
    return result


def _measured(texts: list[str], font: str, *, is_bold: bool = False) -> dict[str, float]:
    if not texts:
        return {}
    rows = [{"text": text, "font": font} for text in texts]
    scene = vega.scenegraph(_ruler(rows, is_bold=is_bold))
    measured = next(_widths_of_bars(scene), [])
    return {text: width / _MEASURED for text, width in zip(texts, measured, strict=True)}


def _ruler(rows: list[dict[str, str]], *, is_bold: bool) -> dict[str, Any]:
    """Return a Vega specification with one bar per row, as wide as the row's text."""
    text = {
        "text": {"field": "text"}, "font": {"field": "font"}, "fontSize": {"value": _MEASURED},
        "fontWeight": {"value": "bold" if is_bold else "normal"},
    }  # fmt: skip
    bar = {"width": {"signal": "datum.bounds.x2 - datum.bounds.x1"}}
    return {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": 1,
        "height": 1,
        "data": [{"name": "rows", "values": rows}],
        "marks": [
            {
                "type": "text", "name": "texts", "from": {"data": "rows"},
                "encode": {"enter": text},
            },
            {"type": "rect", "from": {"data": "texts"}, "encode": {"update": bar}},
        ],
    }  # fmt: skip


def _widths_of_bars(scene: Any) -> Iterator[list[float]]:
    """Yield the widths of the bars in a scene."""
    if isinstance(scene, dict):
        if scene.get("marktype") == "rect":
            yield [float(item.get("width", 0)) for item in scene["items"]]
        for part in scene.values():
            yield from _widths_of_bars(part)
    elif isinstance(scene, list):
        for part in scene:
            yield from _widths_of_bars(part)
