"""A table of the page: its columns, its rows, and how a number is written in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

Cell = str | None  # a number as it is written, or text; None: missing


@dataclass(frozen=True)
class Column:
    """A column of a table. `number` says whether its cells are numbers.

    Neighbours of one `group` share a heading above their own. `gap` stands where a cell is missing.
    """

    name: str
    number: bool = True
    group: str = ""
    gap: str = "missing"


@dataclass(frozen=True)
class ChartTable:
    """A table whose first column names the rows.

    `title` says what is in the cells, and the unit. A `live` table is empty until the script fills
    it. The first rows, `marked` of them, stand out.
    """

    id: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    live: bool = False
    marked: int = 0

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The headings above the columns with the number of columns that each spans."""
        if not any(column.group for column in self.columns):
            return []
        runs = groupby(self.columns, lambda column: column.group)
        return [(name, len(list(run))) for name, run in runs]


def number(value: float) -> Cell:
    """Return a value in four digits with a real minus; None for a missing one."""
    if not np.isfinite(value):
        return None
    digits = f"{abs(value):.0f}" if abs(value) >= 1e4 else f"{abs(value):.4g}"
    return f"−{digits}" if value < 0 and float(digits) else digits
