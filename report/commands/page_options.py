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
