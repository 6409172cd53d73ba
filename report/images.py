"""Images as PNG files and as data URIs."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray, table: np.ndarray | None = None) -> bytes:
    """Return the PNG of [height, width, 3 or 4] uint8 pixels (RGB or RGBA), row 0 at the top.

    With a colour `table` [up to 256, 4] uint8 (RGBA), `pixels` are numbers [height, width] uint8
    into the table; the file takes a third of the bytes.
    """
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)
    color_type = 3 if table is not None else {3: 2, 4: 6}[pixels.shape[2]]
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header)]
    if table is not None:
        chunks.append(png_chunk(b"PLTE", np.ascontiguousarray(table[:, :3]).tobytes()))
        chunks.append(png_chunk(b"tRNS", np.ascontiguousarray(table[:, 3]).tobytes()))
    chunks += [png_chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG: length, name, data and checksum."""
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def data_uri(image: bytes, kind: str = "image/png") -> str:
    """Return an image of the media type `kind` as a `data:` address that contains it."""
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"
