"""How the trace's arrays are laid out before they have values: shape, type and stored chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.trace.schema import REQUESTED_WINDOWS, VARIABLES
from attentropy.engine.trace.statistics import ATTENTION_STATISTICS
from attentropy.engine.trace.types import Array, Dims

# One chunk holds one layer or site, all heads and this many queries or positions.
CHUNK_LENGTH = 4096

# Stored as float16 on request; the other floats can be too large for it.
NARROW = frozenset(
    (*(one.name for one in ATTENTION_STATISTICS if one.fits_float16), "map", "window",
     "window_entropy", *(f"window{i}" for i in REQUESTED_WINDOWS), "sink_key_mass",
     "entropy_without_sinks", "lens_entropy", "lens_top_logprobs", "lens_kl",
     "lens_target_logprob", "rehearsal", "rehearsal_placebo")
)  # fmt: skip

_INTEGERS = frozenset(name for name, (_, kind) in VARIABLES.items() if kind == "i")
# Dimensions along which a trace grows while its answer is generated.
TOKEN_DIMS = ("query", "position")
ONE_PER_CHUNK = ("layer", "site")


@dataclass(frozen=True)
class ArrayLayout:
    """The layout of one array of the trace, whose values are all `fill` at first.

    lengths: chunk length along each dimension that is cut. A layer or a site is always a chunk of
    its own, and the other dimensions are not cut.
    """

    dims: Dims
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    lengths: dict[str, int]
    fill: float | int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def of_tokens(self, tokens: int | None) -> tuple[int, ...]:
        """Return the shape with at most `tokens` queries or positions; None for all."""
        if tokens is None:
            return self.shape
        return tuple(
            min(size, tokens) if dim in TOKEN_DIMS else size
            for dim, size in zip(self.dims, self.shape, strict=True)
        )

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of a chunk along each dimension."""
        return chunk_shape(self.dims, self.shape, self.lengths)


def array_layout(
    name: str, dims: Dims, shape: tuple[int, ...], step: int, storage: str, tall: int = 1
) -> ArrayLayout:
    """Return the layout of the array `name`.

    step: queries and positions per chunk; the map's rows of tiles, each of `tall` queries, are cut
    at the same places. storage: "float16" narrows the arrays named in `NARROW`.
    """
    lengths = {"query": step, "position": step, "map_query": max(1, -(-step // tall))}
    if name in _INTEGERS:
        return ArrayLayout(dims, shape, np.dtype(np.int32), lengths, 0 if name == "visible" else -1)
    narrow = storage == "float16" and name in NARROW
    return ArrayLayout(
        dims, shape, np.dtype(np.float16 if narrow else np.float32), lengths, math.nan
    )


def chunk_shape(
    dims: Sequence[object], shape: Sequence[int], lengths: Mapping[str, int]
) -> tuple[int, ...]:
    """Return the shape of an array's chunks.

    A chunk holds one layer or site, `lengths` along the dimensions named there, and all of every
    other dimension.
    """
    has_others = len(dims) > 1

    def length(dim: str, size: int) -> int:
        if dim in ONE_PER_CHUNK and has_others:
            return 1
        return max(1, min(size, lengths.get(dim, size)))

    return tuple(length(str(dim), size) for dim, size in zip(dims, shape, strict=True))


def widen(values: Array) -> Array:
    """Return float16 values as float32: a sum of many would leave float16's range."""
    return values.astype(np.float32) if values.dtype == np.float16 else values
