"""Files that survive a loss of power: they are on the disk before they get their names."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 8  # files that are synchronised together, which a disk does in fewer steps


def write_durably(path: Path, data: bytes) -> None:
    """Write a file completely to the disk before it gets its name."""
    scratch = path.with_name(path.name + ".new")
    with open(scratch, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file, or a folder's list of names, to the disk, on systems that can."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(path: Path) -> None:
    """Write a file, or a folder with all that is in it, to the disk."""
    if not path.is_dir():
        sync(path)
        return
    inner = [Path(root, name) for root, _, files in os.walk(path) for name in (*files, ".")]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(sync, inner))
