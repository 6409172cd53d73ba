"""The options that test which passages of the prompt an answer depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.sources import LEVEL_CHOICES, METHODS
from attentropy.report.commands.run_option import RunOption
from attentropy.report.commands.segments import read_segments

SOURCES = (
    RunOption(
        ("--test-sources",),
        help="Test which passages of the prompt each word of the answer depends on, by hiding them "
        f"from it: {', '.join(LEVEL_CHOICES)}, a file with segments (as for --segments), or none.  "
        "[default: auto for a prompt of up to 512 tokens, if the test is quick]",
        attributes={"metavar": "LEVEL"},
    ),
    RunOption(
        ("--target", "target_text"),  # the commands call their output `target`
        help="Text to test in place of the generated answer.",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("--versus",),
        help="Another answer: effects on ln p(answer) − ln p(TEXT) are tested, too.",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("--how",),
        help="How a passage is tested: hide it from the answer, or also remove it from the prompt "
        "and read the rest again.  [default: hide]",
        attributes={"type": click.Choice(METHODS)},
    ),
    RunOption(
        ("--budget",),
        help="Time limit, in seconds, for the tests of sources; what it leaves out is marked as "
        "not tested.",
        attributes={"type": click.FloatRange(0, min_open=True), "metavar": "SECONDS"},
    ),
)


def read_tested(value: str) -> Any:
    """Return the level, "none", or the segments of a file. Raises `UsageError`."""
    if value in (*LEVEL_CHOICES, "none"):
        return value
    if not Path(value).exists():
        levels = ", ".join(LEVEL_CHOICES)
        raise UsageError(
            f"`test_sources={value[:80]!r}`: use {levels}, none, or a file of segments"
        )
    return read_segments(value, "test_sources")
