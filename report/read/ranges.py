"""The ends of colour scales that a caller fixes, so that several figures share a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attentropy.engine.errors import UsageError

VIEWS = ("lens", "attention")

Ends = tuple[float, float]
"""The low and the high end of a scale."""

RangesByView = Mapping[str, Ends]
"""The fixed ends of the views' entropies; a view that is not there keeps its own."""


def parse_range(value: Any) -> Ends:
    """Return the ends in "low:high" or (low, high). Raises `UsageError` for anything else."""
    parts = value.split(":") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise UsageError(f"`range` {value!r}: give a low and a high end, such as 0:10") from None
    return low, high


def parse_ranges(values: Any) -> dict[str, Ends]:
    """Return the fixed ends by view.

    values: None, the ends for every view (see `parse_range`), a mapping from view to ends, or a
    sequence of texts "low:high" and "view=low:high". Raises `UsageError` for anything else.
    """
    if values is None:
        return {}
    if isinstance(values, Mapping):
        return {_view(name): parse_range(ends) for name, ends in values.items()}
    if isinstance(values, str) or not _are_texts(values):
        return dict.fromkeys(VIEWS, parse_range(values))
    ranges: dict[str, Ends] = {}
    for text in values:
        name, equals, ends = text.rpartition("=")
        names = [_view(name)] if equals else VIEWS
        ranges |= dict.fromkeys(names, parse_range(ends))
    return ranges


def _are_texts(values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(value, str) for value in values)


def _view(name: Any) -> str:
    if name not in VIEWS:
        raise UsageError(f"`range`: unknown view {name!r}; choose lens or attention")
    return str(name)
