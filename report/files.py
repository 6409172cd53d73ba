"""Write one file whole or not at all, at a place that is checked first."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from attentropy.engine.errors import UsageError


def check_target(path: Path, *, force: bool) -> Path:
    """Return `path` if a file can be written there. Raises `UsageError`."""
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
    if path.is_dir() and not path.name.endswith(".zarr"):
        raise UsageError(f"{path.name!r} is a folder; name a file")
    if path.exists() and not force:
        raise UsageError(f"{path.name!r} exists; use `force=True` to replace it")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write to the folder of {path.name!r}")
    return path


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
