"""Reading a folder at whose place another process may put a new one at any moment.

The files of a folder are opened by their names, so a read that began in one folder may continue in
the next. Digests show that, but not why: the state of the place tells it apart from damage.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from attentropy.engine.errors import TraceError

_T = TypeVar("_T")
_ATTEMPTS = 20


def folder_state(path: Path) -> tuple[int, int, int] | None:
    """Return the device, inode and time of change of a folder; None where there is none.

    The time is part of it because a new folder may have the inode of one that was removed.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def read_current(path: Path, read: Callable[[], _T]) -> _T:
    """Return `read()`; where it fails because `path` was replaced meanwhile, read again."""
    for _ in range(_ATTEMPTS):
        state = folder_state(path)
        try:
            return read()
        except TraceError:
            if folder_state(path) == state:
                raise
    return read()
