"""When Python looks for unreachable objects in a process that runs one command.

A command makes millions of objects and loses few. Nearly all of them come with the libraries that
it imports, and these stay until the end, when Python would look at each of them once more.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects after which Python looks. With its own 700 it does so for 6 % of a short extraction.
_OBJECTS = 50_000

_is_own = False  # whether this process is the command's, and no program that called it


@contextmanager
def own_process() -> Iterator[None]:
    """Run the command that is all that this process does; nothing is looked through at its end."""
    global _is_own
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    _is_own = True
    try:
        yield
    finally:
        gc.freeze()
        _is_own = False


@contextmanager
def imports() -> Iterator[None]:
    """Import libraries: look at none of their objects, neither now nor later."""
    if not _is_own or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
