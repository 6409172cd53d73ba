"""Files read within bounds: in a store regular ones alone, for a pipe waits and no device ends."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from attentropy.engine.errors import TraceError

_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a regular file for reading.

    follow: a link may lead to it, as where the user names the file. Raises `TraceError` for
    anything but a regular file, else `OSError`.
    """
    handle = os.open(path, os.O_RDONLY | _NO_WAIT | (0 if follow else _NO_LINK))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise TraceError(f"{path.name} is not a regular file, so it was not opened")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises `TraceError` for anything else and for more than `max_bytes`, before they are read, else
    `OSError`.
    """
    with open_regular(path, follow=False) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise TraceError(f"{path.name} is too large, so it was not opened")
        return file.read(max_bytes)


def read_named(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of what the user names, which may be a pipe from another command.

    Raises `TraceError` for more than `max_bytes`, else `OSError`.
    """
    with open(path, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TraceError(f"{path.name} is too large, so it was not opened")
    return data
