"""The errors that reading a stranger's bytes may raise, and their message in one line."""

from __future__ import annotations

import struct
import zipfile

from attentropy.engine import failures

# What zarr, its codecs, zipfile and Python raise for bytes that they did not write.
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    EOFError, MemoryError, AssertionError, struct.error, zipfile.BadZipFile, zipfile.LargeZipFile,
)  # fmt: skip

_MAX_CHARACTERS = 120


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or its type where it has none."""
    if failures.is_of_system(error):
        return failures.line(error, named=False) or type(error).__name__
    lines = str(error).splitlines()
    return lines[0][:_MAX_CHARACTERS] if lines else type(error).__name__
