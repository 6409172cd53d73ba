"""The options of a page, which `render`, `report` and `compare` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attentropy.report.commands.quantities import ByteSize

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace

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


_REFERENCE = click.option(
    "--reference", multiple=True, metavar="TRACE",
    help="Earlier trace of the same model, at least three: findings say how the prompt departs "
    "from them. Repeatable.  [default: the placebo questions of the run]",
)  # fmt: skip


_MAX_CELLS = click.option(
    "--max-cells", type=click.IntRange(1), metavar="N",
    help="Open a trace that claims up to N cells (numbers to read and draw).  [default: 64 million "
    "and what the size of the file pays for]",
)  # fmt: skip


def max_cells_option(function: F) -> F:
    """Add the option that allows a trace more work than one of its size makes."""
    return _MAX_CELLS(function)


def reference_option(function: F) -> F:
    """Add the option that names other traces of the same model."""
    return _REFERENCE(function)


def open_references(paths: Sequence[str], max_cells: int | None) -> list[Trace]:
    """Return the traces at `paths`. Raises `TraceError` for what is none."""
    from attentropy.engine.trace.dataset import Trace

    return [Trace.open(path, max_cells=max_cells) for path in paths]


def page_options(function: F) -> F:
    """Add the options of a page, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
