"""A folder of the user's own for what takes a second to make and follows from what is installed.

It lies in `~/.cache/attentropy` (XDG_CACHE_HOME), as compiled kernels of other libraries do. An
entry's name ends with the hash of its bytes, so that a damaged one is made again. Nothing is read
that another user could have written, and where the folder cannot be used, nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path


def read(name: str, ending: str) -> tuple[Path, bytes] | None:
    """Return an entry, its path and its bytes, or None where there is none that is whole."""
    folder = _folder()
    try:
        for path in folder.glob(f"{name}-*{ending}") if folder is not None else ():
            if _is_own(path) and path.name == _file_name(
                name, content := path.read_bytes(), ending
            ):
                return path, content
    except OSError:
        pass
    return None


def write(name: str, ending: str, content: bytes) -> Path | None:
    """Keep an entry; return its path, or None where it cannot be kept.

    It is complete before it gets its name, so that no process reads a part of it.
    """
    folder = _folder()
    if folder is None:
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".part-", delete=False) as part:
            part.write(content)
    except OSError:
        return None
    path = folder / _file_name(name, content, ending)
    try:
        return Path(part.name).replace(path)
    except OSError:
        Path(part.name).unlink(missing_ok=True)
        return None


def digest(content: bytes) -> str:
    """Return a hash of bytes, as the names of entries have it."""
    return hashlib.sha256(content).hexdigest()[:32]


def _file_name(name: str, content: bytes, ending: str) -> str:
    return f"{name}-{digest(content)}{ending}"


def _folder() -> Path | None:
    """Return a folder that only this user can write to, or None."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "attentropy"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _is_own(folder) else None
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None


def _is_own(path: Path) -> bool:
    """Return whether a file or folder is this user's, and no other user can write to it."""
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return False
    if os.name == "nt":  # a user's profile is the user's own there
        return True
    return about.st_uid == os.getuid() and not about.st_mode & 0o022
