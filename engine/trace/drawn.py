"""What a trace can be drawn as: a page, a figure, the cell of a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attentropy.report.drawing import Exported


class Drawn:
    """The methods of a trace, and of a difference, that draw it with what the report has."""

    def report(self, path: str | Path, *, force: bool = False, **options: Any) -> Path:
        """Write the HTML report: one file that works offline.

        Args:
            path: The file to write, NAME.html.
            force: Overwrite an existing file.
            **options: `max_bytes`, the size limit of the page, such as 10_000_000 or "10MB"
                (default); what does not fit is reduced, and the page says how. `sections`, the
                positions to keep at full resolution, such as "0:64", (0, 64), slice(-64, None) or
                a list of them; the figure opens on the first. `range`, the ends of the colour
                scales of the entropies, such as (0, 10) or {"lens": (0, 10)}; by default nothing
                is cut. `reference`, at least three traces of the same model, from which findings
                say how the prompt departs; by default the run's own placebo questions.

        Returns:
            The path.

        Raises:
            UsageError: The path exists and `force` is false, or an option cannot work.

        Examples:
            >>> import attentropy, tempfile, pathlib
            >>> trace = attentropy.extract()
            >>> folder = pathlib.Path(tempfile.mkdtemp())
            >>> trace.report(folder / "report.html", max_bytes="5MB").name
            'report.html'
        """
        written: Path = _drawing().report(self, path, force=force, **options)
        return written

    def to_html(self, **options: Any) -> str:
        """Return the HTML report as text.

        Args:
            **options: `max_bytes`, `sections`, `range` and `reference`, as in `report`.

        Returns:
            The page, one HTML document.

        Raises:
            UsageError: An option cannot work.
        """
        page: str = _drawing().to_html(self, **options)
        return page

    def export(
        self,
        path: str | Path | None = None,
        *,
        figure: str | None = None,
        format: str | None = None,
        force: bool = False,
        **choices: Any,
    ) -> Exported | Path:
        """Write one figure as a file for a paper, or return it.

        Args:
            path: NAME.svg, NAME.png, NAME.pdf, or NAME.csv for the values drawn; None to return
                the figure.
            figure: "lens" (default), "attention", "map", "heads" or "profile".
            format: The format without a path: "svg" (default), "png", "pdf" or "csv".
            force: Overwrite an existing file.
            **choices: What `attentropy.export` takes: `by`, `stat`, `site`, `section`, `inset`,
                `layer`, `head`, `width` in millimetres, and more.

        Returns:
            The path, or without one the figure (`Exported`), which a notebook shows.

        Raises:
            UsageError: A choice that the figure or the trace does not have, a file that exists.
            AttentropyError: The trace does not contain what the figure shows.
        """
        drawn: Exported | Path = _drawing().export(
            self, path, figure=figure, format=format, force=force, **choices
        )
        return drawn

    def _repr_html_(self) -> str:
        """Return what a notebook shows: still pictures without a script."""
        cell: str = _drawing().cell(self)
        return cell


def _drawing() -> Any:
    """Return the report's drawing module.

    The only import against the order of the rooms, made only when something is drawn.
    """
    from attentropy.report import drawing

    return drawing
