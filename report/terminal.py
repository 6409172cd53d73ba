"""Tables on a terminal: one that is too wide is split, as pandas does, and no cell is cut."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attentropy.report.text import for_terminal
from attentropy.report.units import glue

_PIPE_WIDTH = 150  # characters, since a pipe has no width
_HEADING = 12  # characters before a heading takes a second line


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None
) -> None:
    """Print a table to standard output, split into several where the terminal is too narrow.

    Each of them starts with the first column. width: characters; by default the terminal's.
    """
    if width is None and not sys.stdout.isatty():
        width = _PIPE_WIDTH
    console = Console(width=width, highlight=False)
    heads = [for_terminal(name) for name in columns]
    cells = [[for_terminal(cell) for cell in row] for row in rows]
    widths = _widths(heads, cells, console.width)
    heading: str | None = title
    for part in _parts(widths, console.width):
        table = Table(title=None if heading is None else Text(for_terminal(heading)))
        for i in part:
            table.add_column(Text(heads[i]), justify="right" if i else "left", width=widths[i])
        for row in cells:
            table.add_row(*(Text(glue(row[i]), no_wrap=i > 0) for i in part))
        console.print(table)
        heading = None


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> list[int]:
    """Return the characters of each column; only headings and the first column may wrap.

    They wrap no more than needed for one table, or to few characters where one has no room.
    """
    for share, heading in ((1, _HEADING), (3, _HEADING), (4, 0)):
        widths = [_names(heads, rows, limit // share)]
        for head, *cells in zip(heads[1:], *(row[1:] for row in rows), strict=True):
            most = max(min(cell_len(head), heading), _longest_word(head))
            widths.append(max(most, *map(cell_len, cells)))
        if _total(widths) <= limit:
            break
    return widths


def _names(heads: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> int:
    """Return the characters of the first column: about `most` where its longest text has more."""
    names = [heads[0], *(row[0] for row in rows)]
    return min(max(map(cell_len, names)), max(most, *map(_longest_word, names)))


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _total(widths: Sequence[int]) -> int:
    """Return the characters of a table with its lines and its space between columns."""
    return sum(width + 3 for width in widths) + 1


def _parts(widths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Yield the columns of each table: the first one, and as many others as fit, at least one."""
    part = [0]
    for i in range(1, len(widths)):
        if len(part) > 1 and _total([widths[j] for j in (*part, i)]) > limit:
            yield part
            part = [0]
        part.append(i)
    yield part
