"""The subject of a report: one trace, or the difference of two.

All in which the two kinds of report differ is a method here, and chosen once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Protocol

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.content.captions import trace_captions
from attentropy.report.content.difference_words import difference_captions, difference_words
from attentropy.report.content.profile_words import ProfileTable
from attentropy.report.content.sections import Section, difference_sections, trace_sections
from attentropy.report.content.trace_words import trace_words
from attentropy.report.content.words import Words
from attentropy.report.figures.placement import Placement, pair_columns
from attentropy.report.findings.finding import Observation
from attentropy.report.pack.sides import BothSides, NoSides, Sides
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View
from attentropy.report.read.visible import VisibleLines, visible_keys


class Subject(Protocol):
    """A trace, or a difference, as the report reads it."""

    template: str  # the file that lays the page out
    sides: Sides  # what the page holds of A and B

    def side_visible(self) -> tuple[VisibleLines | None, ...]:
        """Return how many keys the queries of each side see; nothing for one trace."""
        ...

    def section_columns(self, columns: int) -> int:
        """Return how many columns have room where `columns` of one token each have."""
        ...

    def words(self, placed: Placement, views: Sequence[View], rows: Sequence[str]) -> Words:
        """Return the page's texts; the first of `views` opens."""
        ...

    def captions(self, placed: Placement, views: Sequence[View]) -> dict[str, str]:
        """Return the caption template of each view."""
        ...

    def sections(
        self,
        observations: Sequence[Observation],
        attention: planes.AttentionPlanes | None,
        views: Sequence[View],
        rows: Sequence[str],
        span: Range,
        profile_tables: Sequence[ProfileTable],
    ) -> dict[str, Section]:
        """Return the sections below the first screen; `span` is that of the figure's section."""
        ...


class TraceSubject:
    """One trace: a prompt, its findings, and a section for each part of the trace."""

    template = "page.html.j2"

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.sides: Sides = NoSides()

    def side_visible(self) -> tuple[VisibleLines | None, ...]:
        """Return nothing: there are no sides."""
        return ()

    def section_columns(self, columns: int) -> int:
        """Return `columns`: each names one token."""
        return columns

    def words(self, placed: Placement, views: Sequence[View], rows: Sequence[str]) -> Words:
        """Return title, prompt, description and provenance."""
        return trace_words(self._trace, placed, views, rows)

    def captions(self, placed: Placement, views: Sequence[View]) -> dict[str, str]:
        """Return the caption template of each view."""
        return trace_captions(self._trace, placed, views)

    def sections(
        self,
        observations: Sequence[Observation],
        attention: planes.AttentionPlanes | None,
        views: Sequence[View],
        rows: Sequence[str],
        span: Range,
        profile_tables: Sequence[ProfileTable],
    ) -> dict[str, Section]:
        """Return the sections of lens, attention, map, heads, profile, tables and provenance."""
        return trace_sections(
            self._trace, observations, attention, views, rows, span, profile_tables
        )


class DifferenceSubject:
    """B − A of two traces: both prompts in one, all findings, means by layer, both provenances."""

    template = "compare.html.j2"

    def __init__(self, difference: Difference) -> None:
        self._difference = difference
        self.sides: Sides = BothSides(difference)

    def side_visible(self) -> tuple[VisibleLines | None, ...]:
        """Return how many keys the queries of A and of B see."""
        return tuple(visible_keys(side) for side in self._difference.traces)

    def section_columns(self, columns: int) -> int:
        """Return fewer: each names two tokens and is wider."""
        return pair_columns(columns)

    def words(self, placed: Placement, views: Sequence[View], rows: Sequence[str]) -> Words:
        """Return what is compared, the tokens of both, means by layer, both provenances."""
        return difference_words(self._difference, views[0], rows)

    def captions(self, placed: Placement, views: Sequence[View]) -> dict[str, str]:
        """Return the caption template of each view."""
        return difference_captions(views)

    def sections(
        self,
        observations: Sequence[Observation],
        attention: planes.AttentionPlanes | None,
        views: Sequence[View],
        rows: Sequence[str],
        span: Range,
        profile_tables: Sequence[ProfileTable],
    ) -> dict[str, Section]:
        """Return the sections of the layers, tables and provenances."""
        return difference_sections(self._difference, views, rows, span)


@singledispatch
def subject_of(trace: Trace) -> Subject:
    """Return how a report reads a trace; of a `Difference` as two."""
    return TraceSubject(trace)


@subject_of.register
def _(trace: Difference) -> Subject:
    return DifferenceSubject(trace)
