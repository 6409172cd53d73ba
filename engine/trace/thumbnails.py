"""A head's thumbnail: its attention in at most 32 × 32 tiles, each one byte.

The byte b of a tile stands for the mass (b / 255)². The square root gives weak tiles as many steps
as strong ones; read back, a mass is off by at most (√mass + 0.001) / 255, so by 0.004 at most. A
head that was measured has mass in each row of tiles: a thumbnail of zeros was not measured.
"""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.types import Array

THUMBNAIL_TILES = 32  # on a side, at most
_LARGEST = 255


def encode_mass(mass: Array) -> Array:
    """Return masses of 0 … 1 as bytes, uint8; NaN as 0."""
    clipped = np.clip(np.nan_to_num(np.asarray(mass, np.float64)), 0, 1)
    values: Array = np.rint(_LARGEST * np.sqrt(clipped)).astype(np.uint8)
    return values


def decode_mass(values: Array) -> Array:
    """Return the masses that bytes stand for, float32."""
    mass: Array = np.square(np.asarray(values, np.float32) / _LARGEST)
    return mass


def mass_error(mass: Array) -> Array:
    """Return how far a mass may be from what is read back of its byte."""
    error: Array = (np.sqrt(np.asarray(mass, np.float64)) + 0.001) / _LARGEST
    return error
