"""Numbers with their units, as people read and write them."""

from __future__ import annotations

import re

_DECIMAL = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%|nats\b|ms\b|[kMG]B\b|[GT]FLOP/s)")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE | re.ASCII)


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that people read, such as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


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


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, `1 token` or `2,048 tokens`; `plural` where `s` is not it."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


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
