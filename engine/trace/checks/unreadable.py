"""The errors that reading a stranger's bytes may raise, and their message in one line."""

from __future__ import annotations

from attentropy.engine import failures

# What zarr, its codecs and Python raise for bytes that they did not write.
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
)  # fmt: skip

_MAX_CHARACTERS = 120


def reason(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or its type where it has none."""
    if isinstance(error, OSError) and error.errno:
        return failures.line(error, named=False) or type(error).__name__
    lines = str(error).splitlines()
    return lines[0][:_MAX_CHARACTERS] if lines else type(error).__name__
