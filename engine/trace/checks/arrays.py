"""What one array of a stranger's trace claims to be: only what this project writes passes.

Little-endian numbers or texts, compressed with zstd or not at all, in one regular grid of chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.files import MAX_FILES
from attentropy.engine.trace.layout import ONE_PER_CHUNK
from attentropy.engine.trace.text import count
from attentropy.engine.trace.types import Dims

_TYPES = {"float16", "float32", "int8", "int16", "int32", "int64", "uint8", "string"}
_MAX_CHUNK_BYTES = 2**30
MAX_TEXT_BYTES = 2**26  # of a chunk of texts, unpacked
_MAX_LENGTH = 2**48
_POINTER_BYTES = 8
_KEYS = {
    "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "attributes",
    "dimension_names", "zarr_format", "node_type", "storage_transformers",
}  # fmt: skip
_ENCODING = {"name": "default", "configuration": {"separator": "/"}}


@dataclass(frozen=True)
class Claim:
    """What each chunk of an array holds, according to the array's metadata.

    items: number of values. size: their bytes; None for texts, whose length is free. packed: the
    chunk is compressed.
    """

    items: int
    size: int | None
    packed: bool

    @property
    def most_stored(self) -> int:
        """The most bytes that this chunk's file can have: zstd adds little to what it packs."""
        size = MAX_TEXT_BYTES if self.size is None else self.size
        return size + size // 128 + 512 if self.packed else size


class ArrayMetadata:
    """The metadata of one array; raises `TraceError` where no trace has such an array.

    `sizes`: its length along each dimension. `values`: their number. `chunks`: the number of
    chunks. `chunk_bytes`, `bytes`: of a chunk and of all chunks, unpacked.
    """

    def __init__(self, trace: str, name: str, metadata: Mapping[str, Any], dims: Dims) -> None:
        self._trace, self._name = trace, name
        dtype = metadata["data_type"]
        if not isinstance(dtype, str) or dtype not in _TYPES:
            raise TraceError(f"{trace}: {name} has an unknown data type, so it was not opened")
        packed = self._is_compressed(metadata["codecs"], dtype)
        self._check_keys(metadata)
        if tuple(metadata["dimension_names"]) != dims:
            raise TraceError(f"{trace}: {name} must have the dimensions {', '.join(dims)}")
        shape, lengths = self._sizes(metadata)
        items = math.prod(lengths)
        size = None if dtype == "string" else items * np.dtype(dtype).itemsize
        self.chunk_bytes = _POINTER_BYTES * items if size is None else size
        if self.chunk_bytes > _MAX_CHUNK_BYTES:
            raise TraceError(f"{trace}: {name} has chunks over 1 GiB, so it was not opened")
        self._grid = [-(-n // c) for n, c in zip(shape, lengths, strict=True)]
        self.chunks = math.prod(self._grid)
        self.bytes = self.chunks * self.chunk_bytes
        self.sizes = dict(zip(dims, shape, strict=True))
        self.values = math.prod(shape)
        self.claim = Claim(items, size, packed)

    def _is_compressed(self, codecs: Any, dtype: str) -> bool:
        """Return whether the chunks are compressed, and refuse codecs that no trace has."""
        where = f"{self._trace}: {self._name}"
        names = [codec["name"] for codec in codecs]
        for name in names:
            if name not in ("bytes", "vlen-utf8", "zstd"):
                raise TraceError(
                    f"{where} uses an unknown codec {str(name)[:40]!r}, so it was not opened"
                )
        first = "vlen-utf8" if dtype == "string" else "bytes"
        options = [codec.get("configuration") or {} for codec in codecs]
        if (
            names not in ([first], [first, "zstd"])
            or options[0] not in ({}, {"endian": "little"})
            or any(codec.keys() - {"name", "configuration"} for codec in codecs)
            or any(option.keys() - {"level", "checksum"} for option in options[1:])
        ):
            raise TraceError(f"{where} uses codecs that no trace uses, so it was not opened")
        return len(names) > 1

    def _check_keys(self, metadata: Mapping[str, Any]) -> None:
        if (
            metadata.get("storage_transformers")
            or metadata.get("attributes")
            or metadata.get("node_type") != "array"
            or metadata.get("chunk_key_encoding") != _ENCODING
            or metadata["chunk_grid"].keys() != {"name", "configuration"}
            or metadata["chunk_grid"]["name"] != "regular"
            or metadata.keys() - _KEYS
        ):
            raise TraceError(
                f"{self._trace}: {self._name} is not stored as in a trace, so it was not opened"
            )

    def _sizes(self, metadata: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """Return the array's shape and the shape of its chunks."""
        shape, names = metadata["shape"], metadata["dimension_names"]
        lengths = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        are_lengths = all(type(n) is int and 0 <= n < _MAX_LENGTH for n in (*shape, *lengths))
        if not are_lengths or 0 in lengths or not len(shape) == len(lengths) == len(names):
            raise TraceError(
                f"{self._trace}: {self._name} has an impossible shape, so it was not opened"
            )
        if any(n > 1 for dim, n in zip(names, lengths, strict=True) if dim in ONE_PER_CHUNK) and (
            len(names) > 1
        ):  # each layer would be unpacked with all others, again and again
            raise TraceError(
                f"{self._trace}: {self._name} has several layers in one chunk, so it was not opened"
            )
        return list(shape), list(lengths)

    def check_chunks(self, files: Mapping[str, int], stored: int) -> None:
        """Raise `TraceError` where a chunk is missing from `files`.

        stored: the number of files that seem to be chunks of this array.
        """
        present = 0
        if self.chunks <= min(stored, MAX_FILES):
            places = product(*(range(n) for n in self._grid))
            present = sum(f"{self._name}/c/{'/'.join(map(str, at))}" in files for at in places)
        if present < self.chunks:
            raise TraceError(
                f"{self._trace}: the trace is truncated: {self._name} has "
                f"{present or min(stored, self.chunks):,} of {count(self.chunks, 'chunk')}"
            )
