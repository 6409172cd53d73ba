"""The values that are checked when a trace is opened: all of short arrays, some of long ones.

What is read here is checked as it is read (`lazy`); a page reads more, and `verify` reads all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import xarray as xr

from attentropy.engine.trace.checks.ranges import are_reads_unchecked

# Arrays of so many bytes are read completely, and stay in memory; of longer ones, blocks are read.
WHOLE_BYTES = 2**16
# Of one chunk, and of all chunks that opening a trace reads of its long arrays.
CHUNK_BYTES, ALL_BYTES = 2**20, 2**24


def read_sample(dataset: xr.Dataset) -> None:
    """Read short variables, and the first, the last and a middle chunk of the long ones.

    Raises `TraceError` for values that no recording gives.
    """
    if are_reads_unchecked():
        return
    left = ALL_BYTES
    for name in map(str, dataset.data_vars):
        variable = dataset[name].variable
        if variable.dtype.kind not in "fiu" or not variable.size:
            continue
        if variable.nbytes <= WHOLE_BYTES:
            variable.values  # noqa: B018
            continue
        chunks = _chunk_lengths(variable)
        if chunks is None:
            continue
        size = math.prod(chunks) * variable.dtype.itemsize
        if size <= CHUNK_BYTES:
            for block in _samples(variable.shape, chunks):
                if size <= left:
                    variable[block].values  # noqa: B018
                    left -= size


def _chunk_lengths(variable: xr.Variable) -> tuple[int, ...] | None:
    """Return the lengths of a stored chunk; None of an array in memory."""
    lengths = variable.encoding.get("chunks")
    if lengths is None or len(lengths) != variable.ndim:
        return None
    return tuple(lengths)


def _samples(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the places of the first, the middle and the last chunk, each once."""
    grid = [-(-n // length) for n, length in zip(shape, chunks, strict=True)]
    corners = [tuple(0 for _ in grid), tuple(n // 2 for n in grid), tuple(n - 1 for n in grid)]
    for at in dict.fromkeys(corners):
        yield tuple(
            slice(i * length, min(n, (i + 1) * length))
            for i, length, n in zip(at, chunks, shape, strict=True)
        )
