"""Arrays as packed values: the form in which a page holds them, instead of rows of JSON."""

from __future__ import annotations

import base64
import zlib
from typing import NotRequired, TypedDict

import numpy as np

# Up to this many values are stored as float32; above, as 16-bit steps with the error stated.
EXACT_VALUES = 20_000
_TYPES = {"int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2"}
_SMALL = 2**20  # bytes that the slowest compression is worth


class PackedArray(TypedDict):
    """An array as the page's script reads it: `data` is deflated and in base64.

    `error` is the largest rounding error; values in steps are low + step · number. Numbers of two
    bytes lie as all their low bytes and then all their high ones, which deflate better.
    """

    shape: list[int]
    error: float
    type: str
    data: str
    low: NotRequired[float]
    step: NotRequired[float]


PackedArrays = dict[str, PackedArray]


def pack(values: np.ndarray, bits: int | None = None) -> PackedArray:
    """Pack values for the page: deflated, in base64, with shape, type and largest error.

    Floats become 16-bit or 8-bit steps between their lowest and highest value, and the largest
    number of all stands for a missing value; without `bits` they stay float32 up to `EXACT_VALUES`
    and take 16 bits above. Integers keep their values, in the smallest type that holds them.
    """
    values = np.asarray(values)
    packed: PackedArray = {"shape": list(values.shape), "error": 0.0, "type": "", "data": ""}
    if values.dtype.kind in "iu":
        packed["type"] = _integer_type(values)
        raw = values.astype(f"<{_TYPES[packed['type']]}")
    elif bits is None and values.size <= EXACT_VALUES:
        packed["type"] = "float32"
        raw = np.where(np.isfinite(values), values, np.nan).astype("<f4")
    else:
        missing = (1 << (bits or 16)) - 1
        finite = np.isfinite(values)
        low = float(values[finite].min()) if finite.any() else 0.0
        high = float(values[finite].max()) if finite.any() else 0.0
        step = (high - low) / (missing - 1) or 1.0
        steps = np.rint((np.where(finite, values, low) - low) / step)
        packed |= {"type": f"uint{bits or 16}", "low": low, "step": step, "error": step / 2}
        raw = np.where(finite, steps, missing).astype(f"<{_TYPES[packed['type']]}")
    packed["data"] = deflate(_bytes(raw))
    return packed


def pack_shares(values: np.ndarray, step: float) -> PackedArray:
    """Pack shares from 0 to 1 in steps of `step`, each rounded to the nearest one."""
    most = round(1 / step)
    kind = "uint8" if most < 2**8 - 1 else "uint16"
    raw = np.rint(np.clip(values, 0, 1) / step).astype(f"<{_TYPES[kind]}")
    return {
        "shape": list(values.shape), "error": step / 2, "type": kind, "low": 0.0, "step": step,
        "data": deflate(_bytes(raw)),
    }  # fmt: skip


def pack_bytes(values: np.ndarray) -> PackedArray:
    """Pack bytes, uint8, as they are."""
    data = deflate(np.ascontiguousarray(values, np.uint8).tobytes())
    return {"shape": list(values.shape), "error": 0.0, "type": "uint8", "data": data}


def _bytes(raw: np.ndarray) -> bytes:
    """Return the bytes of numbers; unsigned ones of two bytes as their low and their high bytes."""
    data = np.ascontiguousarray(raw)
    if data.dtype != np.dtype("<u2"):
        return data.tobytes()
    return data.view(np.uint8).reshape(-1, 2).T.tobytes()


def deflate(data: bytes) -> str:
    """Return bytes as the page holds them: deflated, in base64."""
    return base64.b64encode(zlib.compress(data, 9 if len(data) < _SMALL else 6)).decode()


def _integer_type(values: np.ndarray) -> str:
    """Return the smallest type that holds all values."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for name in ("int8", "int16"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return name
    return "int32"
