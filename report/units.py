"""Numbers with their units, as people read them."""

from __future__ import annotations


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that people read, such as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
