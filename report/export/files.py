"""One picture as SVG, PNG or PDF: at its size in print, with its caption inside."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from functools import partial
from html import escape

from attentropy.engine.errors import AttentropyError
from attentropy.report.export.pdf import settled

_MM, _POINT = 25.4, 72.0  # of an inch
_NUMBER = "45%"  # of the text's size: seven characters in the room of some three
_BETWEEN_TAGS = re.compile(r">[^<>]+<")
_SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)"')


def pixels(picture: str) -> tuple[float, float]:
    """Width and height of an SVG in its own units."""
    width, height = _SIZE.search(picture).groups()  # type: ignore[union-attr]
    return float(width), float(height)


def svg(picture: str, width: float, title: str, caption: str) -> bytes:
    """`width` millimetres wide, title and caption for whoever cannot see it."""
    own, high = pixels(picture)
    said = f"<title>{escape(title)}</title><desc>{escape(caption)}</desc>"
    size = f'role="img" width="{width:g}mm" height="{width * high / own:.4g}mm"'
    sized = _SIZE.sub(size, picture, count=1)
    end = sized.index(">") + 1
    return f"{sized[:end]}{said}{sized[end:]}\n".encode()


def png(picture: str, width: float, dpi: int, title: str, caption: str) -> bytes:
    """`width` millimetres at `dpi` pixels an inch, which the file says."""
    import vl_convert

    # The converter scales to whole pixels: half a pixel more than whole is rounded down to it.
    across = max(1, round(width / _MM * dpi))
    image = vl_convert.svg_to_png(picture, scale=across / pixels(picture)[0], ppi=72)
    first = 8 + 25  # what every PNG begins with: its signature and its header
    metre = struct.pack(">IIB", *[round(dpi / _MM * 1000)] * 2, 1)
    own = [_chunk(b"pHYs", metre)]
    for key, text in (("Title", title), ("Description", caption)):
        own.append(_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()))
    return image[:first] + b"".join(own) + _without(image[first:], b"pHYs")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _without(chunks: bytes, name: bytes) -> bytes:
    kept, at = b"", 0
    while at < len(chunks):
        end = at + 12 + int.from_bytes(chunks[at : at + 4])
        if chunks[at + 4 : at + 8] != name:
            kept += chunks[at:end]
        at = end
    return kept


def pdf(picture: str, width: float, title: str, caption: str) -> bytes:
    """`width` millimetres wide; text is text, its fonts embedded. A character that only a font has
    which cannot be (emoji in colours) is written as its number, U+1F308, in small.

    Raises `AttentropyError` where the converter fails all the same.
    """
    own, high = pixels(picture)
    points = width / _MM * _POINT
    size = f'width="{points:.3f}" height="{points * high / own:.3f}"'
    sized = _SIZE.sub(size, picture, count=1)
    document = _converted(sized) or _converted(_embeddable(sized))
    if document is None:
        raise AttentropyError("no PDF can be made of this figure: write it as SVG or PNG")
    return settled(document, title, caption)


def _converted(picture: str) -> bytes | None:
    """The PDF; None where a font cannot be embedded."""
    import vl_convert

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return vl_convert.svg_to_pdf(picture)
        except RuntimeError:
            return None


def _embeddable(picture: str) -> str:
    """The picture with its number for every character whose font cannot be embedded."""
    font = re.search(r' font-family="[^"]*"', picture)
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"{font[0] if font else ""}>'
    )
    for character in sorted(set(re.sub(r"[\x00-\x7f]", "", picture))):
        if _converted(f'{start}<text y="9">{character}</text></svg>') is None:
            number = f'<tspan font-size="{_NUMBER}">U+{ord(character):04X}</tspan>'
            picture = _BETWEEN_TAGS.sub(partial(_replaced, character, number), picture)
    return picture


def _replaced(character: str, by: str, text: re.Match[str]) -> str:
    """With the joiners beside it, which would spoil the text that a reader copies."""
    return re.sub(f"\u200d?{character}[\u200d\ufe0f]*", by, text[0])
