"""A profile drawn: as pictures on the page, as tables on a terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attentropy.engine.trace.checks.unreadable import UNREADABLE
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.profile_words import (
    ProfileWords,
    costs,
    method,
    profile_sentences,
    shares,
    unreadable_profile,
)
from attentropy.report.page.document import draw_still
from attentropy.report.text import for_terminal
from attentropy.report.units import glue

_WIDTH = 150  # columns in a pipe, which has no width of its own


@dataclass(frozen=True)
class ProfilePictures:
    """A profile as the template shows it; pictures are (light, dark) addresses."""

    wide: list[str]
    narrow: list[str]
    caption: str
    sentences: tuple[str, ...]
    how: str


def draw_profile(profile: ProfileWords) -> ProfilePictures:
    """Draw a profile's charts. Raises `TraceError` where they cannot be drawn."""
    try:
        wide, narrow = (
            [draw_still(chart).light for chart in profile.charts[width]]
            for width in ("wide", "narrow")
        )
    except UNREADABLE as error:
        raise unreadable_profile(error) from error
    return ProfilePictures(wide, narrow, profile.caption, profile.sentences, profile.how)


def print_profile(trace: Trace) -> None:
    """Print the tables and the sentences to standard output."""
    profile = trace.attrs["profile"]
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    for title, (columns, rows) in (
        ("What recording costs", costs(profile)),
        ("Time by part, while recording", shares(trace)),
    ):
        table = Table(title=title)
        for i, name in enumerate(columns):
            table.add_column(name, justify="right" if i else "left")
        for row in rows:
            table.add_row(*(Text(glue(for_terminal(cell))) for cell in row))
        console.print(table)
    for sentence in (*profile_sentences(profile), method(profile)):
        click.echo(for_terminal(sentence))
