"""Numbers with their units, as people read them."""

from __future__ import annotations

import re

from attentropy.engine.trace.text import count as count

_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%|nats\b|ms\b|[kMG]B\b|[GT]FLOP/s)")


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that people read, such as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def percent(share: float) -> str:
    """Return a share in percent, `25 %`; below ten with one decimal, `0.3 %`."""
    value = 100 * share
    if 0 < value < 0.05:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + " %"


def glue(text: str) -> str:
    """Return a text of ours with no-break spaces between numbers and what they count in."""
    return _NUMBER_AND_UNIT.sub("\u00a0", text)


def signed(value: float, digits: int = 2) -> str:
    """Return a value with its sign and a real minus; without one where it is written as zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'−' if value < 0 else '+'}{text}"
