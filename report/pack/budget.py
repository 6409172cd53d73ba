"""How many bytes a page may take, and what they buy: the first of several ways that fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

MAX_BYTES = 10_000_000

Packed = dict[str, Any]


class Budget:
    """Bytes that are left of a page. Things are asked for in the order of their importance."""

    def __init__(self, total: int) -> None:
        self.left = total

    def first(
        self, ways: Iterable[Callable[[], Packed | None]], share: float = 1.0
    ) -> Packed | None:
        """What the first of the ways gives that takes no more than `share` of what is left; None
        where none does. A way that returns None is passed over."""
        limit = self.left * share
        for way in ways:
            packed = way()
            if packed is None:
                continue
            cost = size(packed)
            if cost <= limit:
                self.left -= cost
                return packed
        return None


def size(value: Any) -> int:
    """Bytes that a value takes in the page."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    # The page writes these three as six characters each, so that no tag can stand in them.
    return len(text) + 5 * sum(text.count(c) for c in "<>&'")
