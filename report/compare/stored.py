"""Opening a store that holds a trace or a comparison, whichever it is."""

from __future__ import annotations

from pathlib import Path

from attentropy.engine.errors import OtherFormat
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import Difference


def open(
    path: str | Path, *, partial: bool = False, max_cells: int | None = None
) -> Trace | Difference:
    """Open a trace or a saved comparison; values are read from disk when they are used.

    Args:
        path: A `.zarr` folder or a `.zarr.zip` file.
        partial: Open an unfinished trace, a `.partial` folder.
        max_cells: The work that the store may make, for one that you trust; see `Trace.open`.

    Returns:
        The `Trace`, or the `Difference` for a comparison that `difference.save` wrote.

    Raises:
        TraceError: The path is neither a trace nor a comparison, or it is damaged or unsafe.

    Examples:
        >>> import attentropy, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> path = attentropy.extract().save(folder / "trace.zarr.zip")
        >>> attentropy.open(path)["entropy"].shape  # layer, head, query of prompt and answer
        (8, 4, 19)
    """
    try:
        return Trace.open(path, partial=partial, max_cells=max_cells)
    except OtherFormat:
        return Difference.open(path, max_cells=max_cells)


def without_texts(trace: Trace) -> Trace:
    """Return a trace or a comparison with marks in place of its texts."""
    return trace.redacted() if isinstance(trace, Difference) else redact(trace)
