"""The bytes of a page, and what they buy: the first of several ways that fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

MAX_BYTES = 10_000_000


class Budget:
    """Bytes of a page that are not spent yet. The most important values are bought first."""

    def __init__(self, total: int) -> None:
        self.left = total

    def first(self, ways: Iterable[Callable[[], T | None]], share: float = 1.0) -> T | None:
        """Pay for the result of the first way that takes at most `share` of the bytes left.

        Returns None where no way does. A way that returns None is passed over.
        """
        limit = self.left * share
        for way in ways:
            values = way()
            if values is None:
                continue
            cost = size(values)
            if cost <= limit:
                self.left -= cost
                return values
        return None


def size(value: object) -> int:
    """Return the number of bytes that a value takes in the page."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    # The page writes these characters as six each, so that no tag can stand in a value.
    return len(text) + 5 * sum(text.count(c) for c in "<>&'")
