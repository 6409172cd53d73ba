"""What `render` and `report` share: how large the page may be, and where it holds everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attentropy.report.commands.bytes import Bytes

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.findings.finding import Observation

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--max-bytes", type=Bytes(), default="10MB", show_default=True, metavar="BYTES",
        help="Size of the page; what does not fit is reduced, and the page says how.",
    ),
    click.option(
        "--section", "sections", multiple=True, metavar="A:B",
        help="Positions that the page holds one by one; the figure opens at the first.",
    ),
)  # fmt: skip


def page_options(function: F) -> F:
    """The options of a page, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def observed(
    trace: Trace, max_bytes: int, sections: Sequence[str]
) -> tuple[str, list[Observation]]:
    """The page of a trace, and its findings. Raises `UsageError` for wrong sections."""
    from attentropy.report import planes
    from attentropy.report.findings.single import observe
    from attentropy.report.page.page import render
    from attentropy.report.read.positions import sections as read

    asked = read(sections, trace.dataset.sizes["position"])
    attention = planes.attention(trace)
    found = observe(trace, attention)
    return render(trace, found, attention=attention, max_bytes=max_bytes, sections=asked), found
