"""The options of a page, which `render`, `report` and `compare` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from attentropy.report.commands.quantities import ByteSize

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--max-bytes", type=ByteSize(), default="10MB", show_default=True, metavar="BYTES",
        help="Maximum page size. Data that does not fit is reduced, and the page says how.",
    ),
    click.option(
        "--section", "sections", multiple=True, metavar="A:B",
        help="Positions to keep at full resolution; the figure opens on the first range. "
        "Repeatable.",
    ),
    click.option(
        "--range", "ranges", multiple=True, metavar="LOW:HIGH",
        help="Colour range of the entropies in nats, such as 0:10, or of one view, such as "
        "lens=0:10. Repeatable.  [default: the full range of values]",
    ),
)  # fmt: skip


def page_options(function: F) -> F:
    """Add the options of a page, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
