"""The values of a figure as CSV (RFC 4180), one drawn value per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.report.text import for_tooltip

Cell = str | int | float | np.number | None
"""One value of a table; None and NaN stand for a missing value."""

Line = Sequence[Cell]
"""The cells of one line, in the order of the columns."""

# A spreadsheet runs a text that starts like this as a formula, so a quote is put in front of it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class CsvTable:
    """The names of the columns, with their units, and the lines."""

    columns: Sequence[str]
    lines: Iterable[Line]

    def encode(self) -> bytes:
        """Return the table as CSV in UTF-8, separated by commas, with CRLF line ends."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(self.columns)
        writer.writerows([_cell_text(value) for value in line] for line in self.lines)
        return out.getvalue().encode()


def _cell_text(value: Cell) -> str:
    """Return a number as short as its type allows, or a text that no spreadsheet runs."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, (float, np.floating)):
        return str(value) if np.isfinite(value) else ""
    return str(int(value))


def token(texts: np.ndarray, position: int) -> str:
    """Return the text of a token as tooltips show it: with marks, and cut if it is long."""
    return for_tooltip(str(texts[position]))
