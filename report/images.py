"""Images as data URIs."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray, table: np.ndarray | None = None) -> bytes:
    """A PNG of [height, width, 3 or 4] uint8 (the fourth: opacity), row 0 on top; or of numbers
    [height, width] uint8 into `table` [up to 256, 4], which takes a third of the bytes."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    kind = 3 if table is not None else {3: 2, 4: 6}[pixels.shape[2]]
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if table is not None:
        parts.append(chunk(b"PLTE", np.ascontiguousarray(table[:, :3]).tobytes()))
        parts.append(chunk(b"tRNS", np.ascontiguousarray(table[:, 3]).tobytes()))
    parts += [chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def data_uri(image: bytes, kind: str = "image/png") -> str:
    """An image as the address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"
