"""Selections of layers, heads and positions, written as a user writes them: "0,5,10:", "all"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attentropy.engine.errors import UsageError

_PART = re.compile(r"-?[0-9]+|(-?[0-9]+)?:(-?[0-9]+)?")


def check_selection(text: str | None, option: str, words: Sequence[str] = ("all",)) -> None:
    """Raise `UsageError` where `select` would reject `text` for any size."""
    for part in text.split(",") if text is not None else ():
        if part.strip() not in words and not _PART.fullmatch(part.strip()):
            raise UsageError(
                f"{option}: {part.strip()!r} is neither a number, a range a:b, nor "
                f"{' nor '.join(words)}"
            )


def select(
    text: str, size: int, option: str, words: Mapping[str, Sequence[int]] | None = None
) -> list[int]:
    """Return the indices below `size` that `text` selects, ascending.

    text: numbers and ranges as Python reads them, "all", or one of `words` (word -> indices),
    separated by commas. option: the name that an error gives it.
    Raises `UsageError` for anything else, for a number out of range, and where nothing is selected.
    """
    indices_by_word = {"all": range(size), **(words or {})}
    check_selection(text, option, list(indices_by_word))
    indices: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        if part in indices_by_word:
            indices.update(indices_by_word[part])
        elif ":" in part:
            ends = (int(end) if end else None for end in part.split(":"))
            indices.update(range(size)[slice(*ends)])
        elif -size <= int(part) < size:
            indices.add(int(part) % size)
        else:
            raise UsageError(f"{option}: there is no {part}; they count from 0 to {size - 1}")
    if not indices:
        raise UsageError(f"{option}: {text!r} selects none of {size}")
    return sorted(indices)
