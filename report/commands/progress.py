"""Progress on a terminal; nothing is shown in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ProgressCallback = Callable[[str, int, int], None]
"""Called with a stage, the steps done and all steps."""


@contextmanager
def show_progress() -> Iterator[ProgressCallback | None]:
    """Yield a callback that moves a progress bar; None if standard error is a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total if done else None)

        yield update


@contextmanager
def show_status() -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows a line of text; it does nothing if standard error is a pipe."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield lambda text: status.update(text)
