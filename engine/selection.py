"""Layers, heads and positions that a text selects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attentropy.engine.errors import UsageError

_PART = re.compile(r"-?[0-9]+|(-?[0-9]+)?:(-?[0-9]+)?")


def check_selection(text: str | None, option: str, words: Sequence[str] = ("all",)) -> None:
    """Raise `UsageError` where `select` could not read `text`, whatever the sizes."""
    for part in text.split(",") if text is not None else ():
        if part.strip() not in words and not _PART.fullmatch(part.strip()):
            raise UsageError(
                f"{option}: {part.strip()!r} is neither a number, a range a:b, nor "
                f"{' nor '.join(words)}"
            )


def select(
    text: str, size: int, option: str, words: Mapping[str, Sequence[int]] | None = None
) -> list[int]:
    """Indices below `size` that `text` names, ascending: "0,5,10:", "-4:", "all", one of `words`.

    Numbers and ranges are read as Python reads them. Raises `UsageError` for anything else, for a
    number that is not there, and where nothing is selected.
    """
    known = {"all": range(size), **(words or {})}
    check_selection(text, option, list(known))
    chosen: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        if part in known:
            chosen.update(known[part])
        elif ":" in part:
            ends = (int(end) if end else None for end in part.split(":"))
            chosen.update(range(size)[slice(*ends)])
        elif -size <= int(part) < size:
            chosen.add(int(part) % size)
        else:
            raise UsageError(f"{option}: there is no {part}; they count from 0 to {size - 1}")
    if not chosen:
        raise UsageError(f"{option}: {text!r} selects none of {size}")
    return sorted(chosen)
