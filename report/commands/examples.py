"""The examples at the end of a command's help."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the paragraph "Examples:" with one command line per line, which click keeps."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
