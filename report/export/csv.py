"""The values of a figure as CSV (RFC 4180): what is drawn, one value a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.report.text import full

# What a spreadsheet would run: a text that begins so gets a quote in front.
_RUN = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    """Names of the columns, with their units, and the lines; None and NaN: no value."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]

    def csv(self) -> bytes:
        """UTF-8, a comma between, CRLF at the ends."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return out.getvalue().encode()


def _cell(value: Any) -> str:
    """A number as short as its type allows, a text so that no spreadsheet runs it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RUN) else value
    if isinstance(value, (float, np.floating)):
        return str(value) if np.isfinite(value) else ""
    return str(int(value))


def token(texts: Any, position: int) -> str:
    """A token as tooltips have it: blanks and control characters as marks, endless ones cut."""
    return full(str(texts[position]))
