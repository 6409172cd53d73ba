"""Select some of the layers, heads or positions that there are, by the text that names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attentropy.engine.arguments import Selection, read_selection
from attentropy.engine.errors import UsageError


def select(
    value: Selection, size: int, argument: str, words: Mapping[str, Sequence[int]] | None = None
) -> list[int]:
    """Return the indices below `size` that a selection names, ascending; all for None.

    value: numbers and slices as `read_selection` takes them, "all", or one of `words` (word ->
    indices), in a text separated by commas. argument: the name that an error gives it.
    Raises `UsageError` for anything else, for a number out of range, and where nothing is selected.
    """
    indices_by_word = {"all": range(size), **(words or {})}
    text = read_selection(value, argument, list(indices_by_word)) or "all"
    indices: set[int] = set()
    for part in text.split(","):
        if part in indices_by_word:
            indices.update(indices_by_word[part])
        elif ":" in part:
            ends = (int(end) if end else None for end in part.split(":"))
            indices.update(range(size)[slice(*ends)])
        elif -size <= int(part) < size:
            indices.add(int(part) % size)
        else:
            raise UsageError(f"`{argument}`: {part} is out of range (0 to {size - 1})")
    if not indices:
        raise UsageError(f"`{argument}`: {text[:60]!r} selects nothing")
    return sorted(indices)
