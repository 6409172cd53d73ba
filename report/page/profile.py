"""A profile drawn: as pictures on the page, as tables on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import click

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
from attentropy.report.terminal import print_table
from attentropy.report.text import for_terminal


@dataclass(frozen=True)
class ProfilePictures:
    """A profile as the template shows it; pictures are (light, dark) addresses, by width."""

    costs: dict[str, list[str]]
    cost_caption: str
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
        cost_pictures = {
            width: [draw_still(chart).light for chart in pair]
            for width, pair in profile.cost_charts.items()
        }
    except UNREADABLE as error:
        raise unreadable_profile(error) from error
    return ProfilePictures(
        cost_pictures, profile.cost_caption, wide, narrow, profile.caption, profile.sentences,
        profile.how,
    )  # fmt: skip


def print_profile(trace: Trace) -> None:
    """Print the tables and the sentences to standard output."""
    profile = trace.attrs["profile"]
    print_table("Cost of recording", *costs(profile))
    print_table("Time by part, while recording", *shares(trace))
    for sentence in (*profile_sentences(profile), method(profile)):
        click.echo(for_terminal(sentence))
