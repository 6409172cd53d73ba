"""What a stranger's trace claims to be, checked completely before memory is reserved for it.

Only what this project writes passes: Zarr v3, arrays that the schema names, chunks that are all
there, and no more bytes than such files can hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentropy.engine.errors import OtherFormat, TraceError
from attentropy.engine.trace import consolidated, digests
from attentropy.engine.trace.checks.arrays import ArrayMetadata, Claim
from attentropy.engine.trace.checks.budget import Work, check_work, work_of
from attentropy.engine.trace.checks.files import StoredFiles, open_files
from attentropy.engine.trace.checks.json_files import JsonFiles
from attentropy.engine.trace.schema import COMPARISON, TRACE
from attentropy.engine.trace.types import Form, JsonObject, Schema

_MAX_GROUP_BYTES, _MAX_ARRAY_BYTES = 4 * 2**20, 2**16
_GROUP_KEYS = {"attributes", "zarr_format", "node_type", consolidated.KEY}


@dataclass(frozen=True)
class Contents:
    """What a store has: its `files`, its `parts` ("" and its groups), and what they claim.

    An array of a group is called GROUP/ARRAY. `metadata` has the content of each zarr.json by the
    name of its array or part, `claims` what the chunks of each array hold. `digests` are those of
    all files, by name; None in a partial trace and in the first version of the format.
    """

    files: StoredFiles
    parts: tuple[str, ...]
    metadata: Mapping[str, JsonObject]
    claims: Mapping[str, Claim]
    digests: Mapping[str, str] | None


def inspect(
    path: Path, form: Form, *, partial: bool = False, max_cells: int | None = None
) -> Contents:
    """Return what the store at `path` contains, after checking its metadata.

    form: the format that is read. partial: chunks may be missing, and optional groups are not read.
    max_cells: the work that it may make, see `budget`. Raises `OtherFormat` for a store of another
    kind, else `TraceError` naming what is wrong, or one of `UNREADABLE`.
    """
    files = open_files(path)
    store = _Store(path.name, JsonFiles(files), files.sizes, {})
    arrays: dict[str, ArrayMetadata] = {}
    work = Work()
    parts = form.parts(() if partial else files.sizes)
    for name, part in parts.items():
        own = store.inspect_part(f"{name}/" if name else "", part, partial=partial)
        work += work_of(own.values())
        arrays |= own
    check_work(work, _stored(files, arrays), path.name, max_cells, partial=partial)
    version = store.metadata["zarr.json"]["attributes"]["format_version"]
    has_digests = version > 1 or form.groups or digests.NAME in files.sizes
    sealed = store.read_digests() if has_digests and not partial else None
    store.check_copies()
    metadata = {name.removesuffix("zarr.json").rstrip("/"): m for name, m in store.metadata.items()}
    claims = {name: array.claim for name, array in arrays.items()}
    return Contents(files, tuple(parts), metadata, claims, sealed)


def _stored(files: StoredFiles, arrays: Mapping[str, ArrayMetadata]) -> dict[str, int]:
    """Return the bytes that the chunks of arrays take, by name; other files pay for nothing."""
    stored = {}
    for name, size in files.stored.items():
        array = arrays.get(name.partition("/c/")[0])
        if array is not None and "/c/" in name:
            stored[name] = min(size, array.claim.most_stored)
    return stored


@dataclass(frozen=True)
class _Store:
    """The files of a store; `metadata` collects the content of those that were inspected."""

    trace: str
    files: JsonFiles
    sizes: Mapping[str, int]
    metadata: dict[str, JsonObject]

    def inspect_part(self, prefix: str, form: Form, *, partial: bool) -> dict[str, ArrayMetadata]:
        """Return the metadata of the arrays of the store itself, or of the group at `prefix`."""
        others = tuple(f"{prefix}{group}/" for group in (*form.groups, *form.optional))
        sizes = {
            name: size
            for name, size in self.sizes.items()
            if name.startswith(prefix) and not name.startswith(others)
        }
        # A group's metadata has a copy of its groups' attributes.
        group = self._read(f"{prefix}zarr.json", _MAX_GROUP_BYTES * len(form.parts()))
        _check_group(self.trace, group, form)
        arrays = self._read_arrays(prefix, sizes, form.schema)
        if not partial:
            stored = Counter(name.partition("/c/")[0] for name in sizes if "/c/" in name)
            for name, array in arrays.items():
                array.check_chunks(sizes, stored[name])
        return arrays

    def check_copies(self) -> None:
        """Raise `TraceError` where other programs would read other metadata than this one."""
        for name in consolidated.group_files(self.metadata):
            copy = self.metadata[name].get(consolidated.KEY)
            expected = consolidated.consolidated(self.metadata, name)
            if copy is not None and _as_text(copy) != _as_text(expected):
                raise TraceError(
                    f"{self.trace}: {name} and the arrays' own metadata differ, so it was not "
                    "opened"
                )

    def read_digests(self) -> dict[str, str]:
        """Return the digests of all files, by name."""
        content = self.files.read(digests.NAME, 100 * len(self.sizes) + 100)
        sealed = digests.parse_digests(content)
        if missing := sorted(set(sealed) - set(self.sizes)):
            raise TraceError(
                f"{self.trace}: the trace is truncated: {missing[0][:60]!r} is missing"
            )
        for name, own in self.files.digests.items():
            if name != digests.NAME and sealed.get(name) != own:
                raise TraceError(f"{self.trace}: {name} is damaged (checksum mismatch)")
        return sealed

    def _read_arrays(
        self, prefix: str, sizes: Mapping[str, int], schema: Schema
    ) -> dict[str, ArrayMetadata]:
        paths = (name.removeprefix(prefix).split("/") for name in sizes)
        names = sorted(path[0] for path in paths if len(path) == 2 and path[1] == "zarr.json")
        if unknown := [name for name in names if name not in schema]:
            raise TraceError(f"{self.trace}: unknown array {unknown[0][:40]!r} in the trace")
        arrays = {}
        for name in names:
            metadata = self._read(f"{prefix}{name}/zarr.json", _MAX_ARRAY_BYTES)
            dims = schema[name][0]
            arrays[f"{prefix}{name}"] = ArrayMetadata(self.trace, f"{prefix}{name}", metadata, dims)
        return arrays

    def _read(self, name: str, max_bytes: int) -> JsonObject:
        self.metadata[name] = self.files.read_metadata(name, max_bytes)
        return self.metadata[name]


def _as_text(content: JsonObject) -> str:
    """Return JSON as a text that is equal where the content is; true is not 1."""
    return json.dumps(content, sort_keys=True)


def _check_group(trace: str, group: Mapping[str, Any], form: Form) -> None:
    attributes = group.get("attributes")
    own = attributes.get("format") if isinstance(attributes, dict) else None
    if own != form.name:
        for other in (TRACE, COMPARISON):
            if own == other.name:
                raise OtherFormat(f"{trace} is {other.words}, not {form.words}: {other.opener}")
        raise TraceError(f"{trace}: not an attentropy trace")
    own_version = group["attributes"].get("format_version")
    if type(own_version) is not int or own_version < 1:
        raise TraceError(f"{trace}: the trace has no format version")
    if own_version > form.version:
        raise TraceError(
            f"{trace}: trace format {own_version} is newer than this version supports "
            f"({form.version}); update attentropy"
        )
    # Zarr would take array metadata inside the group's metadata for that of the arrays: it must be
    # a copy, see `check_copies`.
    if group.get("node_type") != "group" or group.keys() - _GROUP_KEYS:
        raise TraceError(f"{trace}: its group is not stored as in a trace, so it was not opened")
