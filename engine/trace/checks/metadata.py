"""What a stranger's trace claims to be, checked completely before memory is reserved for it.

Only what this project writes passes: Zarr v3, arrays that the schema names, chunks that are all
there, and no more bytes than such files can hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import digests
from attentropy.engine.trace.checks.arrays import ArrayMetadata, Claim
from attentropy.engine.trace.checks.files import list_files
from attentropy.engine.trace.checks.json_files import JsonFiles
from attentropy.engine.trace.types import Schema

_MAX_BYTES = 64 * 2**30
# A trace may unpack to _FREE_BYTES, and to _MAX_RATIO times its size on disk.
_FREE_BYTES, _MAX_RATIO = 2**27, 1000
_MAX_GROUP_BYTES, _MAX_ARRAY_BYTES = 4 * 2**20, 2**16
_GROUP_KEYS = {"attributes", "zarr_format", "node_type"}


def inspect(
    path: Path, schema: Schema, form: str, version: int, *, partial: bool
) -> tuple[dict[str, Claim], dict[str, str] | None]:
    """Return what the chunks of each array claim to be, and the digests of all files.

    form, version: the format that is read, and its newest version. partial: chunks may be missing.
    There are no digests (None) in a partial trace and in the first version of the format.
    Raises `TraceError` naming what is wrong, or one of `UNREADABLE`.
    """
    sizes = list_files(path)
    files = JsonFiles(path, sizes)
    group = files.read_metadata("zarr.json", _MAX_GROUP_BYTES)
    _check_group(path.name, group, form, version)
    arrays = _read_arrays(path.name, files, sizes, schema)
    _check_chunks(path.name, arrays, sizes, partial=partial)
    has_digests = group["attributes"]["format_version"] > 1 or digests.NAME in sizes
    sealed = _read_digests(path.name, files, sizes) if has_digests and not partial else None
    return {name: array.claim for name, array in arrays.items()}, sealed


def _check_group(trace: str, group: Mapping[str, Any], form: str, version: int) -> None:
    attributes = group.get("attributes")
    if not isinstance(attributes, dict) or attributes.get("format") != form:
        raise TraceError(f"{trace}: not a trace of attentropy")
    own_version = attributes.get("format_version")
    if type(own_version) is not int or own_version < 1:
        raise TraceError(f"{trace}: the trace has no format version")
    if own_version > version:
        raise TraceError(
            f"{trace}: trace format {own_version} is newer than this version reads ({version}); "
            "update attentropy"
        )
    # Zarr would take array metadata inside the group's metadata for that of the arrays.
    if group.get("node_type") != "group" or group.keys() - _GROUP_KEYS:
        raise TraceError(f"{trace}: its group is stored in a way no trace is, refused")


def _read_arrays(
    trace: str, files: JsonFiles, sizes: Mapping[str, int], schema: Schema
) -> dict[str, ArrayMetadata]:
    names = sorted(
        name.split("/")[0] for name in sizes if name.count("/") == 1 and name.endswith("/zarr.json")
    )
    if unknown := [name for name in names if name not in schema]:
        raise TraceError(f"{trace}: unknown array {unknown[0][:40]!r} in the trace")
    arrays = {}
    for name in names:
        metadata = files.read_metadata(f"{name}/zarr.json", _MAX_ARRAY_BYTES)
        arrays[name] = ArrayMetadata(trace, name, metadata, schema[name][0])
    return arrays


def _check_chunks(
    trace: str, arrays: Mapping[str, ArrayMetadata], sizes: Mapping[str, int], *, partial: bool
) -> None:
    """Raise `TraceError` where a chunk is missing or the chunks claim too many bytes."""
    claimed_bytes = sum(array.bytes for array in arrays.values())
    if claimed_bytes > _MAX_BYTES:
        raise TraceError(f"{trace}: the trace claims {claimed_bytes} bytes, refused")
    stored = Counter(name.split("/")[0] for name in sizes if "/c/" in name)
    unpacked_bytes = 0
    for name, array in arrays.items():
        if not partial:
            array.check_chunks(sizes, stored[name])
        unpacked_bytes += min(stored[name], array.chunks) * array.chunk_bytes
    stored_bytes = sum(sizes.values())
    if unpacked_bytes > _FREE_BYTES + _MAX_RATIO * stored_bytes:
        raise TraceError(
            f"{trace}: {stored_bytes} bytes that claim to be {unpacked_bytes}, refused"
        )


def _read_digests(trace: str, files: JsonFiles, sizes: Mapping[str, int]) -> dict[str, str]:
    sealed = digests.parse_digests(files.read(digests.NAME, 100 * len(sizes) + 100))
    if missing := sorted(set(sealed) - set(sizes)):
        raise TraceError(f"{trace}: the trace is cut short: no {missing[0][:60]!r}")
    return sealed
