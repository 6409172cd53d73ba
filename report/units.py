"""Numbers with their units, as people read and write them."""

from __future__ import annotations

import re

_DECIMAL = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE | re.ASCII)


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that people read, such as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def format_flops(flops: float) -> str:
    """Return a number of floating-point operations in its unit, such as `5.28 TFLOP`."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if flops < 999.5:
            return f"{flops:.3g} {unit}FLOP"
        flops /= 1000
    return f"{flops:,.3g} EFLOP" if flops < 999.5 else f"{flops:,.0f} EFLOP"


def format_seconds(seconds: float) -> str:
    """Return a time in the units that people read: `0.5 s`, `7 min 47 s`, `3 h 20 min`, `26 days`.

    At most two units, and no more digits than a prediction is worth.
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    if round(seconds) < 3600:
        return _two_units(round(seconds), "min", "s", 60)
    if round(seconds / 60) < 48 * 60:
        return _two_units(round(seconds / 60), "h", "min", 60)
    days = seconds / 86_400
    return (
        f"{days:,.0f} days" if days >= 9.5 else _two_units(round(seconds / 3600), "days", "h", 24)
    )


def _two_units(value: int, large: str, small: str, factor: int) -> str:
    whole, rest = divmod(value, factor)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def parse_bytes(text: str) -> int:
    """Return the number of bytes in `text`: 4096, 500MB (powers of 1,000), 2GiB (of 1,024).

    Raises:
        ValueError: `text` is not a number of bytes, or less than one byte.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no number of bytes; give one such as 500MB or 2GiB")
    unit = match[2].lower()
    size = int(float(match[1]) * (_BINARY[unit] if match[3] else _DECIMAL[unit]))
    if size < 1:
        raise ValueError(f"{text!r}: at least one byte")
    return size


def parse_count(text: str) -> int:
    """Return the count in `text`: 4096, 4k (4,096) or 1m.

    Raises:
        ValueError: `text` is not a whole number of at least 1.
    """
    digits, factor = (text[:-1], _BINARY[text[-1]]) if text[-1:] in ("k", "m") else (text, 1)
    if not digits.isdecimal():
        raise ValueError(f"{text!r}: give sizes such as 1k,4096")
    if int(digits) < 1:
        raise ValueError("a size is at least 1")
    return int(digits) * factor
