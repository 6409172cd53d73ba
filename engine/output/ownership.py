"""What attentropy made and may therefore remove; the contents of a folder tell it, not its name."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

_MAX_BYTES = 64 * 2**20  # of a JSON file
_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")  # which file managers add to any folder
_IN_STORES = ("zarr.json", "written.json")
RUN_FORMAT, RUN_SUFFIX = "attentropy.partial", ".partial"  # of an unfinished run's folder
STORE_SUFFIX = ".zarr"  # of a folder; an archive is a file
_STORE_FORMATS = ("attentropy.trace", "attentropy.comparison")
_IN_RUNS = (
    "run.json", "run.json.new", "trace.zarr", "commits", "cache",
    "trace.zarr.zip", "replaced",  # where an earlier version was stopped at its end
)  # fmt: skip


def is_own_store(folder: Path) -> bool:
    """Return whether a folder is a store of attentropy with nothing else in it."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    attributes = read_json(folder / "zarr.json").get("attributes")
    form = attributes.get("format") if isinstance(attributes, dict) else None
    return form in _STORE_FORMATS and all(map(_is_of_store, _files(folder, ())))


def is_own_run(folder: Path) -> bool:
    """Return whether a folder is an unfinished run of attentropy with nothing else in it."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = {entry.name for entry in os.scandir(folder)} - {*_BY_SYSTEMS}
    return names <= {*_IN_RUNS} and read_json(folder / "run.json").get("format") == RUN_FORMAT


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is none that can be read."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return {}
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _files(folder: Path, inner: tuple[str, ...]) -> Any:
    """Yield (names from the store's folder on, whether it is a regular file) of all but folders."""
    with os.scandir(folder) as entries:
        for entry in entries:
            names = (*inner, entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), names)
            else:
                yield names, entry.is_file(follow_symlinks=False)


def _is_of_store(file: tuple[tuple[str, ...], bool]) -> bool:
    names, is_regular = file
    if names[-1] in _BY_SYSTEMS:
        return True
    return is_regular and (names[-1] in _IN_STORES or "c" in names[:-1] or names[-1] == "c")
