"""Arrays as image tiles and as packed values: what a page holds instead of rows of JSON."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

# Up to this many values are kept as float32; above, as 16-bit steps with the error stated.
EXACT_VALUES = 200_000
_TYPES = {"int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2"}
_SMALL = 2**20  # bytes that the slowest compression is worth


def pack(values: np.ndarray, bits: int | None = None) -> dict[str, Any]:
    """Values for the page: deflated, in base64, with shape, type and largest error.

    Floats become 16-bit or 8-bit steps between `low` and `high`, the largest step of all for a
    missing value; where nobody says `bits`, float32 up to `EXACT_VALUES` and 16 bits above.
    Integers keep their values, in the smallest type that holds them.
    """
    values = np.asarray(values)
    meta: dict[str, Any] = {"shape": list(values.shape), "error": 0.0}
    if values.dtype.kind in "iu":
        meta["type"] = _integer(values)
        raw = values.astype(f"<{_TYPES[meta['type']]}")
    elif bits is None and values.size <= EXACT_VALUES:
        raw = np.where(np.isfinite(values), values, np.nan).astype("<f4")
        meta["type"] = "float32"
    else:
        missing = (1 << (bits or 16)) - 1
        finite = np.isfinite(values)
        low = float(values[finite].min()) if finite.any() else 0.0
        high = float(values[finite].max()) if finite.any() else 0.0
        step = (high - low) / (missing - 1) or 1.0
        steps = np.rint((np.where(finite, values, low) - low) / step)
        meta |= {"type": f"uint{bits or 16}", "low": low, "step": step, "error": step / 2}
        raw = np.where(finite, steps, missing).astype(f"<{_TYPES[meta['type']]}")
    data = np.ascontiguousarray(raw).tobytes()
    meta["data"] = deflated(data)
    return meta


def deflated(data: bytes) -> str:
    """Bytes as the page holds them: deflated, in base64."""
    return base64.b64encode(zlib.compress(data, 9 if len(data) < _SMALL else 6)).decode()


def _integer(values: np.ndarray) -> str:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for name in ("int8", "int16"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return name
    return "int32"
