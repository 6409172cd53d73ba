"""Numbers of bytes as people write them: 500MB, 2GiB, 4096."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE | re.ASCII)


class Bytes(click.ParamType):
    """A number of bytes: 4096, 500MB (powers of 1,000), 2GiB (of 1,024)."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number; fails in one line for anything else."""
        if isinstance(value, int):
            return value
        found = _WRITTEN.fullmatch(str(value).strip())
        if found is None or (found[3] and not found[2]):
            self.fail(f"{value!r} is no number of bytes; give one such as 500MB or 2GiB")
        factor = _UNITS[found[2].lower()]
        if found[3]:
            factor = 1024 ** [1, 1000, 1000**2, 1000**3, 1000**4].index(factor)
        amount = int(float(found[1]) * factor)
        if amount < 1:
            self.fail(f"{value!r}: at least one byte")
        return amount
