"""Progress has percent, speed and time left, on a terminal alone, in one line that stays one."""

import io
import sys

import pytest
from rich.console import Console

from attentropy.report.commands.progress import (
    callback_of,
    progress_bar,
    show_progress,
    show_status,
)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def bar():
    """Return a bar, its callback, a clock that a test sets, and a function that draws it."""
    now = [0.0]
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    progress = progress_bar(console, lambda: now[0])
    update = callback_of(progress)

    def draw():
        with console.capture() as capture:
            console.print(progress.get_renderable())
        (line,) = capture.get().splitlines()
        return " ".join(line.split())

    return update, now, draw


def test_a_stage_with_steps_has_percent_speed_and_time_left(bar):
    update, now, draw = bar
    for now[0], done in ((0.0, 0), (10.0, 1000), (20.0, 2000), (30.0, 3000)):
        update("reading the prompt", done, 8000)
    now[0] = 31.0
    line = draw()
    assert "reading the prompt" in line
    assert line.endswith("38 % 100 tokens/s 50 s left")
    update("reading the lens", 10, 40)
    assert draw().endswith("25 %")  # another count: no speed and no time are known
    for now[0], done in ((40.0, 20), (170.0, 21)):
        update("reading the lens", done, 40)
    assert "tokens/s" not in draw()
    assert draw().endswith("min left") or " min " in draw()


def test_chunks_that_take_minutes_have_a_speed_too(bar):
    update, now, draw = bar
    for i in range(5):
        now[0] = 300.0 * i
        update("reading the prompt", 2048 * i, 20_480)
    assert draw().endswith("40 % 7 tokens/s 30 min left")


def test_a_stage_of_one_step_is_its_name(bar):
    update, _, draw = bar
    update("reading the prompt", 4, 8)
    update("answering", 0, 1)
    assert draw().endswith("answering")


def test_stages_are_drawn_in_one_line_and_one_task(bar):
    update, _, draw = bar
    for stage, done, total in (
        ("loading the model", 0, 1), ("checking the model", 0, 1), ("reading the prompt", 0, 64),
        ("reading the prompt", 64, 64), ("reading the lens", 2, 3), ("done", 1, 1),
    ):  # fmt: skip
        update(stage, done, total)
        assert stage in draw()


def test_nothing_is_shown_in_a_pipe_or_on_a_dumb_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    for stream, term in ((io.StringIO(), "xterm"), (_Terminal(), "dumb")):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", term)
        with show_progress() as progress:
            assert progress is None
        with show_status() as show:
            show("a rival")
        assert stream.getvalue() == ""


def test_a_terminal_shows_the_stage_and_nothing_stays(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress() as progress:
        progress("reading the prompt", 0, 64)
        progress("reading the prompt", 32, 64)
    written = terminal.getvalue()
    assert "reading the prompt" in written
    assert written.rstrip().endswith("\x1b[2K")
