"""Write whole chunks of an array of a store, byte for byte as zarr writes them.

Zarr passes each chunk through an event loop and three threads, which takes about 2 ms of a
processor more. A run writes a chunk per layer, statistic and pass while the model computes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attentropy.engine.trace.types import Array, Place

if TYPE_CHECKING:
    import zarr

_LEVEL = 0  # zstd's own default


class ChunkWriter:
    """Writes values of an array that is stored in `folder`, and whose shape and codecs stay."""

    def __init__(self, array: zarr.Array[Any], folder: Path) -> None:
        from numcodecs.zstd import Zstd

        self._array, self._folder = array, folder
        self._shape, self._lengths = array.shape, array.chunks
        self._fill, self._dtype = array.fill_value, array.dtype.newbyteorder("<")
        self._encode = Zstd(level=_LEVEL).encode if _is_plain(array) else None
        self._folders: set[str] = set()  # those of chunks that are there

    def write(self, at: Place, values: Array) -> None:
        """Write `values` at `at` of the array.

        Dimensions that `at` does not name are written whole. Values that fill one chunk become its
        file in one step; zarr writes all others.
        """
        at = (*at, *(slice(0, size) for size in self._shape[len(at) :]))
        index = self._whole_chunk(at)
        if index is None or self._encode is None:
            self._array[at] = values
            return
        chunk = np.empty(self._lengths, self._dtype)
        if values.size < chunk.size:
            chunk.fill(self._fill)
        chunk[tuple(map(_within_chunk, at))] = values
        folder = os.path.join(self._folder, "c", *map(str, index[:-1]))
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)
        file = os.path.join(folder, str(index[-1]))
        with open(f"{file}.partial", "wb") as unfinished:
            unfinished.write(self._encode(chunk))
        os.replace(f"{file}.partial", file)

    def _whole_chunk(self, at: Place) -> tuple[int, ...] | None:
        """Return the place in the grid of the one chunk all of whose cells `at` names, if any.

        A chunk at the end of an array has fewer cells than others.
        """
        index = []
        for place, size, length in zip(at, self._shape, self._lengths, strict=True):
            if isinstance(place, slice):
                start, stop = place.start, place.stop
            else:
                start, stop = place, place + 1
            if start % length or stop != min(start + length, size):
                return None
            index.append(start // length)
        return tuple(index)


def _within_chunk(place: int | slice) -> int | slice:
    """Return where the cells at `place` of an array are in the chunk that begins there."""
    return slice(0, place.stop - place.start) if isinstance(place, slice) else 0


def _is_plain(array: zarr.Array[Any]) -> bool:
    """Return whether an array's chunks are encoded as zarr encodes numbers by default."""
    from zarr.codecs import BytesCodec, ZstdCodec

    is_zstd = array.compressors == (ZstdCodec(level=_LEVEL),)
    return is_zstd and array.serializer == BytesCodec(endian="little") and array.filters == ()
