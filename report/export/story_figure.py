"""The figure `story`: the headline, its evidence, and the figure with which the page opens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.headline import Headline
from attentropy.report.content.profile_words import has_profile
from attentropy.report.content.subject import subject_of
from attentropy.report.content.words import Words
from attentropy.report.export import entropy_figure, profile_figure
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.figure_plan import FigurePlan
from attentropy.report.export.paragraphs import Paragraph, Run
from attentropy.report.figures.placement import place
from attentropy.report.figures.sizes import wide
from attentropy.report.read import views

_WIDE = 520  # pixels from which on the headline has its full size
_HEADLINE, _SMALL_HEADLINE, _EVIDENCE = 18.0, 15.0, 12.5  # font sizes in pixels


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `story`. Raises `TraceError` if the trace has no entropies."""
    name = views.view_names(trace)[0]
    words = _words(trace)
    if has_profile(trace):
        figure = profile_figure.plan(trace, replace(choices, figure="profile"), pixels)
    else:
        figure = entropy_figure.plan(trace, replace(choices, figure=name), pixels)
    above = tuple(_paragraphs(words, _HEADLINE if pixels >= _WIDE else _SMALL_HEADLINE))
    return replace(figure, title=above[0].text, above=above)


def _words(trace: Trace) -> Words:
    """Return the texts of the trace's page."""
    rows = [str(int(layer)) for layer in trace["layer"]]
    placed = place(trace, wide(len(rows)).columns)
    shown = [views.read_view(trace, name) for name in views.view_names(trace)]
    return subject_of(trace).words(placed, shown, rows)


def _paragraphs(words: Words, size: float) -> Iterator[Paragraph]:
    """Yield headline and evidence."""
    headline = words.headline
    runs = (Run(words.heading, is_bold=True),) if headline is None else _headline(headline)
    yield Paragraph(tuple(run for run in runs if run.text), size, below=4)
    if words.evidence:
        yield Paragraph((Run(words.evidence),), _EVIDENCE, below=4)
    if words.partial:
        yield Paragraph((Run(words.partial, "orange"),), _EVIDENCE, below=4)


def _headline(headline: Headline) -> tuple[Run, ...]:
    """Return the answer with its decisive word in another colour, as the page has it."""
    parts = [Run(headline.lead, "muted")]
    if headline.text:
        parts += [
            Run(" “" if headline.lead else "“", is_bold=True),
            Run(headline.before, is_bold=True),
            Run(headline.word, "blue" if headline.is_sure else "orange", is_bold=True),
            Run(f"{headline.after}”", is_bold=True),
        ]
    return (*parts, Run(f" {headline.p}" if headline.p else "", "muted"))
