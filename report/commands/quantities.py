"""Option values that are quantities: numbers of bytes and of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.arguments import parse_bytes, parse_count

if TYPE_CHECKING:
    IntegerType = click.ParamType[int]
else:  # the class is generic only in the newer versions of click
    IntegerType = click.ParamType


class ByteSize(IntegerType):
    """A number of bytes: 4096, 500MB (powers of 1,000), 2GiB (of 1,024)."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes; fail in one line for anything else."""
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(str(value))
        except ValueError as error:
            self.fail(str(error))


class TokenCount(IntegerType):
    """A number of tokens: 4096, 4k (4,096), 128k."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of tokens. Raises `click.BadParameter`."""
        return value if isinstance(value, int) else count(value.strip().lower())


def count(text: str) -> int:
    """Return the count in `text`, where k stands for 1,024. Raises `click.BadParameter`."""
    try:
        return parse_count(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
