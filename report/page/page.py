"""A report in, one HTML file out: no network, no inline handler, every token escaped.

The file is never larger than the bytes that it is allowed; what does not fit is reduced, and the
page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from altair.utils.schemapi import debug_mode
from jinja2 import Template
from markupsafe import Markup

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette, planes
from attentropy.report.content.hidden_words import strip_words
from attentropy.report.content.read_report import read_report
from attentropy.report.content.report import Report
from attentropy.report.content.running_text import SHADES
from attentropy.report.content.sections import summary
from attentropy.report.content.source_words import source_sentences
from attentropy.report.findings.finding import Observation
from attentropy.report.pack.budget import MAX_BYTES, Budget
from attentropy.report.pack.page_values import PageValues, pack_values
from attentropy.report.page.document import (
    opening_script,
    security_policy,
    style_text,
    template_text,
    templates,
    without_comments,
)
from attentropy.report.page.drawings import CHOICES, curves_of, specifications, still_pictures
from attentropy.report.page.payload import facts
from attentropy.report.page.profile import draw_profile
from attentropy.report.page.program import program
from attentropy.report.page.terms import Terms
from attentropy.report.read.positions import Range
from attentropy.report.read.ranges import RangesByView

_SPARE = 8_000  # bytes for the sentence that says what was reduced, and for keys
_LEAST_SHARE = 0.3  # of the page's bytes, for values: before that, still pictures are left out


def render(
    trace: Trace,
    observations: Sequence[Observation],
    *,
    attention: planes.AttentionPlanes | None = None,
    max_bytes: int = MAX_BYTES,
    sections: Sequence[Range] = (),
    ranges: RangesByView | None = None,
) -> str:
    """Read a trace, or a difference, and return its page: `read_report`, then `render_page`.

    Raises `TraceError` for a trace that holds neither attention nor lens entropies, `UsageError`
    where `max_bytes` is too little.
    """
    report = read_report(trace, observations, attention=attention, sections=sections, ranges=ranges)
    return render_page(report, max_bytes)


@debug_mode(False)  # charts are validated when they are written, not once more in each part
def render_page(report: Report, max_bytes: int = MAX_BYTES) -> str:
    """Return the report as one HTML document of at most `max_bytes`.

    The same report and version give the same bytes. Raises `UsageError` where `max_bytes` is too
    little.
    """
    frame = _frame(report, max_bytes)
    budget = Budget(max_bytes - frame.size)
    if budget.left <= 0:
        raise UsageError(f"`max_bytes` must be larger than {frame.size:,}")
    page = frame.filled(pack_values(report.values, budget, max_bytes))
    if len(page.encode()) > max_bytes:
        raise RuntimeError(f"the page takes {len(page.encode()):,} bytes, more than `max_bytes`")
    return page


@dataclass(frozen=True)
class _Frame:
    """A page without its values: its template, what fills it, and its size in bytes."""

    template: Template
    context: dict[str, Any]
    size: int

    def filled(self, values: PageValues) -> str:
        """Return the page with its values."""
        payload = self.context["payload"] | values.first
        parts = {"later": values.later, "more": values.extras, "reduced": values.note}
        return self.template.render(self.context | parts | {"payload": payload}) + "\n"


def _frame(report: Report, max_bytes: int) -> _Frame:
    """Draw the page without its values, with as many still pictures as leave room for values."""
    template = templates().get_template(report.template)
    context = _context(report)
    pictures = still_pictures(report)
    for choose in CHOICES:
        context["drawings"] = choose(pictures)
        size = len(template.render(context).encode()) + _SPARE
        if max_bytes - size >= _LEAST_SHARE * max_bytes:
            break
    return _Frame(template, context, size)


def _context(report: Report) -> dict[str, Any]:
    """Return everything that fills the template, besides still pictures and values."""
    words, axes, attention = report.words, report.axes, report.attention
    opening, bundle = opening_script(), program()
    loader = without_comments(template_text("script/shell/loader.js"))
    style = style_text() + _shade_classes()
    return {
        **{field.name: getattr(words, field.name) for field in fields(words)},
        "policy": security_policy(style, opening, loader, bundle.text),
        "opening": Markup(opening),
        "loader": Markup(loader),  # our own code, nothing of the trace
        "program": bundle.packed,
        "style": Markup(style),
        "captions": {view.name: view.caption for view in report.views},
        "views": [view.name for view in report.views],
        "sites": axes.sites,
        "statistics": any(view.statistics for view in report.views),
        "layers": axes.layers,
        "tiled": any(view.step > 1 for view in report.views),
        "heads": axes.heads,
        "scores": attention.scores,
        "grid": attention.grid,
        "findings": report.highlights,
        "absent": report.absent,
        "sections": report.sections,
        "panels": {
            name: summary(curve, axes.layers) for name, curve in curves_of(report.sections).items()
        },
        "window_per_head": attention.is_window_per_head,
        "map_heads": attention.map_heads,
        "hides_sinks": attention.hides_sinks and not axes.side_visible,
        "map_layer": attention.map_layer,
        "map_head_words": attention.map_head_words,
        "profile": draw_profile(report.profile) if report.profile else None,
        "payload": {**facts(report), "specs": specifications(report.charts)},
        "glossary": Terms,
        "tested": report.sources is not None,
        "context": report.context,
        "source_sentences": source_sentences(report.sources, report.axes.layers),
        "strip_words": strip_words(report.sources, report.hidden_words),
        "boxed": bool(report.placement.caption),
        "dotted": any(lens.is_marked for lens in report.readable.values()),
        "reduced": "",
        "later": None,
        "more": None,
    }


def _shade_classes() -> str:
    """Return a class for each step of the scale: tokens have colour without inline styles."""
    steps = palette.colors((np.arange(SHADES) + 0.5) / SHADES, 0, 1)
    fills, inks = palette.hexes(steps), palette.inks(steps)
    return "".join(
        f".s{i}{{background:{fill};color:{ink}}}"
        for i, (fill, ink) in enumerate(zip(fills, inks, strict=True))
    )
