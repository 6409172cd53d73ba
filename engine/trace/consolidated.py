"""The copy of all metadata in a group's own `zarr.json`, from which other programs open a store.

xarray and zarr read this copy instead of listing the files, if there is one. It is not part of the
Zarr v3 specification; `zarr.consolidate_metadata` writes the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from attentropy.engine.trace.types import JsonObject

KEY = "consolidated_metadata"
# The folder of a trace's optional groups. The copy leaves them out, and their folder has no
# metadata of its own: so earlier versions, which know no groups in a trace, still open it.
GROUPS = "groups/"
_FILE = "zarr.json"


def consolidate(folder: Path) -> None:
    """Write the copy into the `zarr.json` of every group of the store, the innermost first."""
    metadata = {
        file.relative_to(folder).as_posix(): json.loads(file.read_bytes())
        for file in folder.rglob(_FILE)
    }
    for name in group_files(metadata):
        content = {**metadata[name], KEY: consolidated(metadata, name)}
        (folder / name).write_text(json.dumps(content, indent=2, allow_nan=False), "utf-8")


def consolidated(metadata: Mapping[str, JsonObject], group: str = _FILE) -> JsonObject:
    """Return the copy that belongs into the file `group`.

    metadata: the contents of all files of metadata, by name.
    """
    prefix = group.removesuffix(_FILE)
    inner = (
        name
        for name in metadata
        if name.startswith(prefix) and name != group and not name.startswith(f"{prefix}{GROUPS}")
    )
    copies = {
        name.removeprefix(prefix).removesuffix(f"/{_FILE}"): _copy(metadata[name])
        for name in sorted(inner, key=lambda name: (name.count("/"), name))
    }
    return _inline(copies)


def group_files(metadata: Mapping[str, JsonObject]) -> Iterable[str]:
    """Return the names of the files that describe groups."""
    return [name for name, content in metadata.items() if content.get("node_type") == "group"]


def _copy(content: JsonObject) -> JsonObject:
    """Return one file's content; a group stands without a copy of its own."""
    return {**content, KEY: _inline({})} if content.get("node_type") == "group" else content


def _inline(copies: JsonObject) -> JsonObject:
    return {"kind": "inline", "must_understand": False, "metadata": copies}
