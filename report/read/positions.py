"""Ranges of positions that a page holds one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attentropy.engine.errors import UsageError

Range = tuple[int, int]  # [start, stop)

_SECTION = re.compile(r"(-?\d+)?:(-?\d+)?")


def parse_sections(texts: Sequence[str], n: int) -> list[Range]:
    """Return the ranges that "a:b" means in Python, of n positions.

    Raises `UsageError` for anything else.
    """
    ranges = []
    for text in texts:
        match = _SECTION.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"--section {text!r}: write a:b, positions as Python counts them")
        start, stop, _ = slice(*(int(end) if end else None for end in match.groups())).indices(n)
        if stop <= start:
            raise UsageError(f"--section {text!r} holds none of the {n} positions")
        ranges.append((start, stop))
    return ranges
