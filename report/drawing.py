"""Everything that draws a trace or a difference: what `Trace` itself calls, and the commands.

A trace is on a lower floor than the report. It reaches the report through this module alone, and
only when something is drawn. What needs Altair is imported in the functions: a notebook's cell is
a table without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentropy.engine.arguments import read_bytes
from attentropy.engine.errors import UsageError
from attentropy.engine.output.place import reserve
from attentropy.report import collecting, planes
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.observations import observe
from attentropy.report.findings.reference import check_references
from attentropy.report.pack.budget import MAX_BYTES
from attentropy.report.page import notebook
from attentropy.report.read.positions import read_ranges
from attentropy.report.read.ranges import parse_ranges

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.export.exported import Exported

__all__ = ["Exported", "cell", "export", "render_page", "report", "to_html"]


def render_page(
    trace: Trace,
    *,
    max_bytes: int | str = MAX_BYTES,
    sections: Any = (),
    range: Any = None,
    reference: Sequence[Trace] = (),
) -> tuple[str, list[Observation]]:
    """Return the page of a trace or of a difference as HTML, and its findings.

    max_bytes: the most that the page may take, such as 10_000_000 or "10MB"; what does not fit is
    reduced, and the page says how. sections: the positions that the page holds one by one, "a:b",
    (a, b), slice(a, b) or several of them; the figure opens at the first. range: the ends of the
    scales of entropies, (low, high) or "low:high", or a mapping with those of "lens" and
    "attention"; by default nothing is cut. reference: at least three traces of the same model,
    from which findings say how the prompt departs; by default the run's own placebo questions.

    Raises:
        UsageError: `max_bytes` is too small, a section has no position, or a reference is of
            another model.
        TraceError: the trace has neither attention nor lens entropies.
    """
    with collecting.imports():
        from attentropy.report.page.page import render

    size = read_bytes(max_bytes, "max_bytes")
    opened = read_ranges(sections, trace.dataset.sizes["position"])
    ends = parse_ranges(range)
    check_references(trace, reference)
    attention = planes.read_attention(trace)
    findings = observe(trace, attention, reference)
    page = render(
        trace, findings, attention=attention, max_bytes=size, sections=opened, ranges=ends
    )
    return page, findings


def to_html(trace: Trace, **options: Any) -> str:
    """Return the page as HTML; see `render_page`."""
    page, _ = render_page(trace, **options)
    return page


def report(trace: Trace, path: str | Path, *, force: bool = False, **options: Any) -> Path:
    """Write the page and return its path; see `render_page`.

    Raises `UsageError` for a path that does not end in .html, or that exists without `force`.
    """
    target = Path(path)
    if not target.name.lower().endswith((".html", ".htm")):
        raise UsageError(f"{target.name!r}: name the report NAME.html")
    with reserve(target, force=force) as place:
        place.write(to_html(trace, **options).encode())
    return target


def export(
    trace: Trace,
    path: str | Path | None = None,
    *,
    figure: str | None = None,
    format: str | None = None,
    force: bool = False,
    **choices: Any,
) -> Exported | Path:
    """Return a figure; with a path, write it in the format of its ending, and return the path."""
    from attentropy.report.export.export import export as draw_figure
    from attentropy.report.export.figure_names import format_of

    if path is None:
        return draw_figure(trace, figure, format or "svg", **choices)
    target = Path(path)
    if format is not None:
        raise UsageError("the path already gives the `format`; leave one of them out")
    ending = format_of(target)
    with reserve(target, force=force):
        return draw_figure(trace, figure, ending, **choices).save(target, force=force)


def cell(trace: Trace) -> str:
    """Return what a notebook shows of a trace or of a difference."""
    return notebook.render(trace)
