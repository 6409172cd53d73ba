"""What a stranger's trace claims to be, checked in full before anything of it is reserved or run.

Only what this project writes passes: Zarr v3, arrays that are known by name, little-endian numbers
or texts, zstd or nothing, one regular grid of chunks that are all there.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import digests as seal
from attentropy.engine.trace.checks.files import MOST_FILES, listed

# What a reader of bytes from a stranger may meet, beside its own refusals.
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
)  # fmt: skip

_TYPES = {"float16", "float32", "int8", "int16", "int32", "int64", "uint8", "string"}
_MOST_BYTES = 64 * 2**30
_MOST_CHUNK_BYTES = 2**30
# What a trace may unpack to: this, and so many times what it takes on the disk.
_FREE_BYTES, _MOST_RATIO = 2**27, 1000
_MOST_GROUP_BYTES, _MOST_ARRAY_BYTES = 4 * 2**20, 2**16
_MOST_DEPTH = 32
_KEYS = {
    "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "attributes",
    "dimension_names", "zarr_format", "node_type", "storage_transformers",
}  # fmt: skip
_GROUP_KEYS = {"attributes", "zarr_format", "node_type"}
_ENCODING = {"name": "default", "configuration": {"separator": "/"}}


def inspect(
    path: Path,
    known: Mapping[str, tuple[tuple[str, ...], str]],
    form: str,
    version: int,
    *,
    partial: bool,
) -> tuple[dict[str, Claim], dict[str, str] | None]:
    """Of each array of the trace at `path` what its chunks are, and the digests of all files, None
    where there are none: `partial`, or of the first version.

    Raises `TraceError` naming what is wrong, or whatever of `UNREADABLE` comes up.
    """
    entries = listed(path)
    files = _Files(path, entries)
    group = files.metadata("zarr.json", _MOST_GROUP_BYTES)
    _check_group(path.name, group, form, version)
    arrays = sorted(
        name.split("/")[0]
        for name in entries
        if name.count("/") == 1 and name.endswith("/zarr.json")
    )
    if unknown := [name for name in arrays if name not in known]:
        raise TraceError(f"{path.name}: unknown array {unknown[0][:40]!r} in the trace")
    found = {name: _Array(path.name, name, files.array(name), known[name][0]) for name in arrays}
    stored = Counter(name.split("/")[0] for name in entries if "/c/" in name)
    claimed = sum(array.bytes for array in found.values())
    if claimed > _MOST_BYTES:
        raise TraceError(f"{path.name}: the trace claims {claimed} bytes, refused")
    there = 0
    for name, array in found.items():
        if not partial:
            array.check_chunks(entries, stored[name])
        there += min(stored[name], array.chunks) * array.chunk_bytes
    held = sum(entries.values())
    if there > _FREE_BYTES + _MOST_RATIO * held:
        raise TraceError(f"{path.name}: {held} bytes that claim to be {there}, refused")
    sealed = None
    if not partial and (group["attributes"]["format_version"] > 1 or seal.NAME in entries):
        sealed = seal.digests(files.parsed(seal.NAME, 100 * len(entries) + 100))
        if missing := sorted(set(sealed) - set(entries)):
            raise TraceError(f"{path.name}: the trace is cut short: no {missing[0][:60]!r}")
    return {name: array.claim for name, array in found.items()}, sealed


def reason(error: BaseException) -> str:
    """What went wrong in one line of some words."""
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__


@dataclass(frozen=True)
class Claim:
    """What one chunk of an array is: `items` values in `size` bytes, None for texts, which take
    what they take."""

    items: int
    size: int | None
    packed: bool


class _Files:
    """The trace's JSON files, read within bounds."""

    def __init__(self, path: Path, entries: Mapping[str, int]) -> None:
        self._path, self._entries = path, entries

    def metadata(self, name: str, most: int) -> dict[str, Any]:
        found = self.parsed(name, most)
        if found.get("zarr_format") != 3:
            raise TraceError(f"{self._path.name}: {name} is not Zarr v3")
        return found

    def array(self, name: str) -> dict[str, Any]:
        return self.metadata(f"{name}/zarr.json", _MOST_ARRAY_BYTES)

    def parsed(self, name: str, most: int) -> dict[str, Any]:
        trace = self._path.name
        if name not in self._entries:
            raise TraceError(f"{trace}: not a whole Zarr v3 trace (no {name})")
        if self._entries[name] > most:
            raise TraceError(f"{trace}: {name} is too large, refused")
        if self._path.is_dir():
            text = (self._path / name).read_bytes()
        else:
            with zipfile.ZipFile(self._path) as archive:
                text = archive.read(name)
        try:
            found = json.loads(text, parse_constant=_no_number, parse_float=_number)
        except RecursionError as error:
            raise TraceError(f"{trace}: {name} is nested too deep, refused") from error
        except ValueError as error:
            raise TraceError(f"{trace}: {name} is no JSON ({reason(error)})") from error
        if not isinstance(found, dict):
            raise TraceError(f"{trace}: {name} is not Zarr v3")
        if not _is_flat(found, _MOST_DEPTH):
            raise TraceError(f"{trace}: {name} is nested too deep, refused")
        return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _number(text: str) -> float:
    found = float(text)
    return found if math.isfinite(found) else _no_number(text[:20])


def _is_flat(value: Any, depth: int) -> bool:
    """Whether lists and dictionaries are within each other at most `depth` times."""
    level = [value]
    for _ in range(depth):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level
                 if isinstance(v, dict | list)]  # fmt: skip
        if not inner:
            return True
        level = [v for values in inner for v in values]
    return False


def _check_group(trace: str, group: Mapping[str, Any], form: str, version: int) -> None:
    attributes = group.get("attributes")
    if not isinstance(attributes, dict) or attributes.get("format") != form:
        raise TraceError(f"{trace}: not a trace of attentropy")
    found = attributes.get("format_version")
    if type(found) is not int or found < 1:
        raise TraceError(f"{trace}: the trace has no format version")
    if found > version:
        raise TraceError(
            f"{trace}: trace format {found} is newer than this version reads ({version}); "
            "update attentropy"
        )
    # Metadata of the arrays in the group's own would be taken for theirs.
    if group.get("node_type") != "group" or group.keys() - {
        "attributes",
        "zarr_format",
        "node_type",
    }:
        raise TraceError(f"{trace}: its group is stored in a way no trace is, refused")


class _Array:
    """One array's claims; raises `TraceError` for those that no trace makes."""

    def __init__(
        self, trace: str, name: str, metadata: Mapping[str, Any], dims: tuple[str, ...]
    ) -> None:
        self._trace, self._name = trace, name
        kind = metadata["data_type"]
        if not isinstance(kind, str) or kind not in _TYPES:
            raise TraceError(f"{trace}: {name} has an unknown type, refused")
        packed = self._codecs(metadata["codecs"], kind)
        if (
            metadata.get("storage_transformers")
            or metadata.get("attributes")
            or metadata.get("node_type") != "array"
            or metadata.get("chunk_key_encoding") != _ENCODING
            or metadata["chunk_grid"].keys() != {"name", "configuration"}
            or metadata["chunk_grid"]["name"] != "regular"
            or metadata.keys() - _KEYS
        ):
            raise TraceError(f"{trace}: {name} is stored in a way no trace is, refused")
        if tuple(metadata["dimension_names"]) != dims:
            raise TraceError(f"{trace}: {name} has other dimensions than {', '.join(dims)}")
        self._shape, self._lengths = self._sizes(metadata)
        items = math.prod(self._lengths)
        size = None if kind == "string" else items * np.dtype(kind).itemsize
        # A text takes its pointer at least.
        self.chunk_bytes = 8 * items if size is None else size
        if self.chunk_bytes > _MOST_CHUNK_BYTES:
            raise TraceError(f"{trace}: {name} has chunks over 1 GiB, refused")
        self._grid = [-(-n // c) for n, c in zip(self._shape, self._lengths, strict=True)]
        self.chunks = math.prod(self._grid)
        self.bytes = self.chunks * self.chunk_bytes
        self.claim = Claim(items, size, packed)

    def _codecs(self, codecs: Any, kind: str) -> bool:
        """Whether the chunks are compressed."""
        where = f"{self._trace}: {self._name}"
        names = [codec["name"] for codec in codecs]
        for name in names:
            if name not in ("bytes", "vlen-utf8", "zstd"):
                raise TraceError(f"{where} uses an unknown codec {str(name)[:40]!r}, refused")
        first = "vlen-utf8" if kind == "string" else "bytes"
        options = [codec.get("configuration") or {} for codec in codecs]
        if (
            names not in ([first], [first, "zstd"])
            or options[0] not in ({}, {"endian": "little"})
            or any(codec.keys() - {"name", "configuration"} for codec in codecs)
            or any(option.keys() - {"level", "checksum"} for option in options[1:])
        ):
            raise TraceError(f"{where} uses codecs as no trace does, refused")
        return len(names) > 1

    def _sizes(self, metadata: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        shape, names = metadata["shape"], metadata["dimension_names"]
        lengths = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        whole = all(type(n) is int and 0 <= n < 2**48 for n in (*shape, *lengths))
        if not whole or 0 in lengths or not len(shape) == len(lengths) == len(names):
            raise TraceError(f"{self._trace}: {self._name} has an impossible shape, refused")
        return list(shape), list(lengths)

    def check_chunks(self, entries: Mapping[str, int], stored: int) -> None:
        """Raise `TraceError` where one of them is missing; `stored` files seem to be chunks."""
        found = 0
        if self.chunks <= min(stored, MOST_FILES):
            places = product(*(range(n) for n in self._grid))
            found = sum(f"{self._name}/c/{'/'.join(map(str, at))}" in entries for at in places)
        if found < self.chunks:
            raise TraceError(
                f"{self._trace}: the trace is cut short: {self._name} has "
                f"{found or min(stored, self.chunks)} of {self.chunks} chunks"
            )
