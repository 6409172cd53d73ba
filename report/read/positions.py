"""Ranges of positions that a page holds one by one."""

from __future__ import annotations

from typing import Any

from attentropy.engine.arguments import read_span, read_spans
from attentropy.engine.errors import UsageError

Range = tuple[int, int]  # [start, stop)


def read_range(value: Any, n: int, argument: str) -> Range:
    """Return the range that "a:b", (a, b) or slice(a, b) means in Python, of n positions.

    Raises `UsageError` for anything else, and for an empty range.
    """
    text = read_span(value, argument)
    ends = (int(end) if end else None for end in text.split(":"))
    start, stop, _ = slice(*ends).indices(n)
    if stop <= start:
        raise UsageError(f"`{argument}`: {text} selects none of the {n} positions")
    return start, stop


def read_ranges(value: Any, n: int, argument: str = "sections") -> list[Range]:
    """Return several ranges, as `read_range` takes each; one that stands alone is one range."""
    return [read_range(text, n, argument) for text in read_spans(value, argument)]
