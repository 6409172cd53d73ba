"""The options of a page, which `render`, `report` and `compare` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attentropy.report.commands.quantities import ByteSize

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.findings.finding import Observation

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--max-bytes", type=ByteSize(), default="10MB", show_default=True, metavar="BYTES",
        help="Size of the page; what does not fit is reduced, and the page says how.",
    ),
    click.option(
        "--section", "sections", multiple=True, metavar="A:B",
        help="Positions that the page holds one by one; the figure opens at the first.",
    ),
    click.option(
        "--range", "ranges", multiple=True, metavar="LOW:HIGH",
        help="Ends of the colour scale of the entropies in nats, such as 0:10 or lens=0:10; "
        "by default nothing is cut.",
    ),
)  # fmt: skip


def page_options(function: F) -> F:
    """Add the options of a page, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def render_page(
    trace: Trace, max_bytes: int, sections: Sequence[str], ranges: Sequence[str]
) -> tuple[str, list[Observation]]:
    """Return the page of a trace or a comparison, and its findings.

    Raises `UsageError` for wrong sections and ranges.
    """
    from attentropy.report import planes
    from attentropy.report.findings.observations import observe
    from attentropy.report.page.page import render
    from attentropy.report.read.positions import parse_sections
    from attentropy.report.read.ranges import parse_ranges

    opened = parse_sections(sections, trace.dataset.sizes["position"])
    ends = parse_ranges(ranges)
    attention = planes.read_attention(trace)
    findings = observe(trace, attention)
    page = render(
        trace, findings, attention=attention, max_bytes=max_bytes, sections=opened, ranges=ends
    )
    return page, findings
