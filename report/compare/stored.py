"""Opening a store that holds a trace or a comparison, whichever it is."""

from __future__ import annotations

from pathlib import Path

from attentropy.engine.errors import OtherFormat
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import Difference


def open(path: str | Path, *, partial: bool = False) -> Trace | Difference:
    """Open what a `.zarr` folder or a `.zarr.zip` file holds: a trace, or a saved comparison.

    partial: open what there is of an unfinished trace, in its `.partial` folder.
    Values are read when they are used. Raises `TraceError` (one line) for what is neither, and for
    what is damaged or unsafe.
    """
    try:
        return Trace.open(path, partial=partial)
    except OtherFormat:
        return Difference.open(path)


def without_texts(trace: Trace) -> Trace:
    """Return a trace or a comparison with marks in place of its texts."""
    return trace.redacted() if isinstance(trace, Difference) else redact(trace)
