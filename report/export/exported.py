"""An exported figure: the bytes of a file, which a notebook shows and `save` writes."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from attentropy.engine.errors import UsageError
from attentropy.engine.output.place import reserve
from attentropy.engine.trace.text import count
from attentropy.report.export.figure_names import format_of
from attentropy.report.units import format_bytes

_SHOWN_LINES = 12  # of a CSV in a notebook


@dataclass(frozen=True, repr=False)
class Exported:
    """A figure as a file.

    Attributes:
        data: The bytes of the file.
        title: Title of the figure.
        caption: Caption for a paper, one line.
        format: "svg", "png", "pdf" or "csv".
    """

    data: bytes
    title: str
    caption: str
    format: str = field(default="svg")

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the file.

        Args:
            path: The file to write, with the ending of this figure's `format`.
            force: Overwrite an existing file.

        Returns:
            The path.

        Raises:
            UsageError: The path ends in another format, or it exists and `force` is false.
        """
        target = Path(path)
        if format_of(target) != self.format:
            raise UsageError(
                f"{target.name!r}: name the file NAME.{self.format}, which is this figure's format"
            )
        with reserve(target, force=force) as place:
            place.write(self.data)
        return target

    def __repr__(self) -> str:
        return f"<Exported {self.format}, {format_bytes(len(self.data))}: {self.title[:80]}>"

    def _repr_svg_(self) -> str | None:
        return self.data.decode() if self.format == "svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.data if self.format == "png" else None

    def _repr_pdf_(self) -> bytes | None:
        return self.data if self.format == "pdf" else None

    def _repr_html_(self) -> str | None:
        """Return the first lines of a CSV as a table."""
        if self.format != "csv":
            return None
        lines = list(csv.reader(io.StringIO(self.data.decode(), newline="")))
        rows = [
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
            for line in lines[: _SHOWN_LINES + 1]
        ]
        rest = len(lines) - len(rows)
        more = f"<p>… and {count(rest, 'more line')}</p>" if rest else ""
        return f"<table>{''.join(rows)}</table>{more}"
