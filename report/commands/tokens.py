"""Numbers of tokens as people write them: 4096, 4k, 128k."""

from __future__ import annotations

from typing import Any

import click

_SUFFIX = {"k": 1024, "m": 1024**2}


def size(word: str) -> int:
    """The number that `word` says, k for 1,024. Raises `click.BadParameter`."""
    number, factor = (word[:-1], _SUFFIX[word[-1]]) if word[-1:] in _SUFFIX else (word, 1)
    if not number.isdecimal():
        raise click.BadParameter(f"{word!r}: give sizes such as 1k,4096")
    if int(number) < 1:
        raise click.BadParameter("a size is at least 1")
    return int(number) * factor


class Size(click.ParamType):
    """One such number as the value of an option."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return value if isinstance(value, int) else size(value.strip().lower())
