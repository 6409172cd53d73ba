"""One picture as an SVG, PNG or PDF file: at its size in print, with its caption inside."""

from __future__ import annotations

import logging
import re
import struct
import warnings
from functools import partial
from html import escape

from attentropy.engine.errors import AttentropyError
from attentropy.report import vega
from attentropy.report.export.pdf import normalize_pdf
from attentropy.report.images import png_chunk

_LOG = logging.getLogger(__name__)

_MM, _POINT = 25.4, 72.0  # per inch
_NUMBER_SIZE = "45%"  # of the text's size: seven characters take the room of about three
_PNG_START = 8 + 25  # bytes of signature and header, with which every PNG begins
_BETWEEN_TAGS = re.compile(r">[^<>]+<")
_SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)"')


def pixels(picture: str) -> tuple[float, float]:
    """Return width and height of an SVG in its own units."""
    match = _SIZE.search(picture)
    if match is None:
        raise ValueError("the SVG has no width and height")
    return float(match[1]), float(match[2])


def svg(picture: str, width: float, title: str, caption: str) -> bytes:
    """Return an SVG of `width` millimetres, with title and caption for screen readers."""
    own, height = pixels(picture)
    description = f"<title>{escape(title)}</title><desc>{escape(caption)}</desc>"
    size = f'role="img" width="{width:g}mm" height="{width * height / own:.4g}mm"'
    resized = _SIZE.sub(size, picture, count=1)
    end = resized.index(">") + 1
    return f"{resized[:end]}{description}{resized[end:]}\n".encode()


def png(picture: str, width: float, dpi: int, title: str, caption: str) -> bytes:
    """Return a PNG of `width` millimetres at `dpi` pixels per inch, which the file records."""
    # The converter scales to whole pixels and rounds half a pixel down.
    across = max(1, round(width / _MM * dpi))
    image = vega.to_png(picture, across / pixels(picture)[0], 72)
    resolution = struct.pack(">IIB", *[round(dpi / _MM * 1000)] * 2, 1)
    chunks = [png_chunk(b"pHYs", resolution)]
    for key, text in (("Title", title), ("Description", caption)):
        chunks.append(png_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()))
    return image[:_PNG_START] + b"".join(chunks) + _remove_chunk(image[_PNG_START:], b"pHYs")


def _remove_chunk(chunks: bytes, name: bytes) -> bytes:
    """Return the chunks of a PNG without those called `name`."""
    remaining, start = b"", 0
    while start < len(chunks):
        end = start + 12 + int.from_bytes(chunks[start : start + 4])
        if chunks[start + 4 : start + 8] != name:
            remaining += chunks[start:end]
        start = end
    return remaining


def pdf(picture: str, width: float, title: str, caption: str) -> bytes:
    """Return a PDF of `width` millimetres, whose text stays text and whose fonts are embedded.

    A character that is only in a font that cannot be embedded (colour emoji) is written as its
    number, such as U+1F308, in small letters.

    Raises:
        AttentropyError: the converter fails even so.
    """
    own, height = pixels(picture)
    points = width / _MM * _POINT
    size = f'width="{points:.3f}" height="{points * height / own:.3f}"'
    resized = _SIZE.sub(size, picture, count=1)
    document = _convert_to_pdf(resized) or _convert_to_pdf(_embeddable(resized))
    if document is None:
        raise AttentropyError("this figure cannot be converted to PDF; write it as SVG or PNG")
    return normalize_pdf(document, title, caption)


def _convert_to_pdf(picture: str) -> bytes | None:
    """Return the PDF; None if a font cannot be embedded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            document = vega.to_pdf(picture)
        except RuntimeError:
            _LOG.debug("the converter makes no PDF of this picture", exc_info=True)
            return None
        return document


def _embeddable(picture: str) -> str:
    """Return the picture with each character whose font cannot be embedded as its number."""
    font = re.search(r' font-family="[^"]*"', picture)
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"{font[0] if font else ""}>'
    )
    for character in sorted(set(re.sub(r"[\x00-\x7f]", "", picture))):
        if _convert_to_pdf(f'{start}<text y="9">{character}</text></svg>') is None:
            number = f'<tspan font-size="{_NUMBER_SIZE}">U+{ord(character):04X}</tspan>'
            picture = _BETWEEN_TAGS.sub(partial(_replace, character, number), picture)
    return picture


def _replace(character: str, replacement: str, text: re.Match[str]) -> str:
    """Replace a character and the joiners around it, which would end up in copied text."""
    return re.sub(f"\u200d?{character}[\u200d\ufe0f]*", replacement, text[0])
