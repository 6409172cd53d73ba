"""Progress on a terminal: the stage, percent, speed and time left. Nothing is shown in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

ProgressCallback = Callable[[str, int, int], None]
"""Called with a stage, the steps done and all steps."""

_TOKEN_STAGES = ("reading the prompt", "reading again")  # their steps are tokens
_WINDOW = 3600.0  # seconds over which the speed is an average: a chunk may take minutes


@contextmanager
def show_progress() -> Iterator[ProgressCallback | None]:
    """Yield a callback that moves a progress bar; None unless standard error is a terminal."""
    if not _is_terminal():
        yield None
        return
    from rich.console import Console

    with progress_bar(Console(stderr=True)) as bar:
        yield callback_of(bar)


def callback_of(bar: Progress) -> ProgressCallback:
    """Return the callback that moves the bar."""
    task = bar.add_task("starting", total=1)

    def update(stage: str, done: int, total: int) -> None:
        current = bar.tasks[0]
        # A new count starts a new estimate of the time left, not a new line: lines would flicker.
        if total != current.total or done < current.completed:
            bar.reset(task, total=total, completed=done, description=stage)
        else:
            bar.update(task, completed=done, description=stage)

    return update


def progress_bar(console: Console, get_time: Callable[[], float] | None = None) -> Progress:
    """Return a bar of one line, which goes away at the end.

    A stage that is a single step has no bar, only its name.
    """
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn
    from rich.text import Text

    class Numbers(ProgressColumn):
        max_refresh = 0.5  # numbers that change more often cannot be read

        def render(self, task: Task) -> Text:
            return Text(numbers_of(task), no_wrap=True)

    class CountedBar(BarColumn):
        def __call__(self, task: Task) -> Any:
            return super().__call__(task) if _is_counted(task) else Text("")

    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), CountedBar(bar_width=20), Numbers(),
        console=console, transient=True, get_time=get_time, speed_estimate_period=_WINDOW,
    )  # fmt: skip


def numbers_of(task: Task) -> str:
    """Return percent, speed and time left of a task, as far as they are known."""
    from attentropy.report.units import format_seconds

    if not _is_counted(task):
        return ""
    parts = [f"{task.percentage:3.0f} %"]
    if task.speed and task.description.startswith(_TOKEN_STAGES):
        parts.append(f"{task.speed:,.0f} tokens/s")
    left = task.time_remaining
    if left:
        parts.append(f"{f'{left:.0f} s' if left < 60 else format_seconds(left)} left")
    return "  ".join(parts)


def _is_counted(task: Task) -> bool:
    return task.total is not None and task.total > 1


@contextmanager
def show_status() -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows a line of text; it does nothing unless there is a terminal."""
    if not _is_terminal():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(text)


def _is_terminal() -> bool:
    """Return whether standard error can show a line that changes."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
