"""Numbers with their units, as people read them."""

from __future__ import annotations


def human(size: float) -> str:
    """Bytes in the unit that people read."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
