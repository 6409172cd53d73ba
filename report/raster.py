"""Arrays as image tiles and as packed values: what a page holds instead of rows of JSON."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

# Up to this many values are kept as float32; above, as 16-bit steps with the error stated.
EXACT_VALUES = 200_000
_LEVELS = 65_534


def png(rgb: np.ndarray) -> bytes:
    """A PNG of [height, width, 3 or 4] uint8 (the fourth: opacity), row 0 on top."""
    height, width, channels = rgb.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), rgb.reshape(height, -1)], 1)

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def data_uri(image: bytes, kind: str = "image/png") -> str:
    """An image as the address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def pack(values: np.ndarray) -> dict[str, Any]:
    """Values for the page: deflated, in base64, with shape, type and largest error.

    Floats stay float32 up to `EXACT_VALUES`, else become 16-bit steps between `low` and `high`
    (65535: missing). Integers become int32.
    """
    values = np.asarray(values)
    meta: dict[str, Any] = {"shape": list(values.shape), "error": 0.0}
    if values.dtype.kind in "iu":
        meta["type"], raw = "int32", values.astype("<i4")
    elif values.size <= EXACT_VALUES:
        meta["type"], raw = "float32", values.astype("<f4")
    else:
        finite = np.isfinite(values)
        low = float(values[finite].min()) if finite.any() else 0.0
        high = float(values[finite].max()) if finite.any() else 0.0
        step = (high - low) / _LEVELS or 1.0
        levels = np.where(finite, np.rint((np.where(finite, values, low) - low) / step), 65_535)
        meta |= {"type": "uint16", "low": low, "step": step, "error": step / 2}
        raw = levels.astype("<u2")
    meta["data"] = base64.b64encode(zlib.compress(np.ascontiguousarray(raw).tobytes(), 9)).decode()
    return meta
