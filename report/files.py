"""Write one file whole or not at all, at a place that is checked first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from attentropy.engine.errors import UsageError


def check_target(path: Path, *, force: bool, inputs: Iterable[str | Path | None] = ()) -> Path:
    """Return `path` if a file can be written there. Raises `UsageError`.

    No input is ever replaced, not even with `force`: neither `path` nor what it links to may be one
    of `inputs`, contain one, or lie within the store of a trace.
    """
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path.name!r}: there is no folder {str(path.parent)!r}")
    if path.is_dir() and not path.name.endswith(".zarr"):
        raise UsageError(f"{path.name!r} is a folder; name a file")
    check_apart(path, inputs)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path.name!r} is a device or a pipe; name a file")
    if path.exists() and not force:
        raise UsageError(f"{path.name!r} exists; use `force=True` to replace it")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write to the output folder {str(path.parent)!r}")
    return path


def check_apart(path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Raise `UsageError` where writing to `path` would change what is read from an input."""
    for source in inputs:
        _check_one(path, source)


def _check_one(path: Path, source: str | Path | None) -> None:
    if source is None or str(source) == "-" or not Path(source).exists():
        return
    target, origin = path.resolve(), Path(source).resolve()
    is_store = origin.is_dir() and origin.name.endswith((".zarr", ".partial"))
    if target == origin or (path.exists() and path.samefile(source)):
        what = f"{path.name!r} is an input of this command"
    elif target in origin.parents:
        what = f"{path.name!r} contains the input {origin.name!r}"
    elif is_store and origin in target.parents:
        what = f"{path.name!r} would be written into the input {origin.name!r}"
    else:
        return
    raise UsageError(f"{what}, and an input is never overwritten; name another output")


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # A temporary file is private: give it the permissions of a new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
