"""The sections below the first screen: their headings, curves, tables and findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.content import tables
from attentropy.report.content.chart_table import ChartTable, number
from attentropy.report.content.context_tables import context_tables
from attentropy.report.content.finding_line import FindingLine, finding_line
from attentropy.report.content.profile_words import ProfileTable
from attentropy.report.content.section_words import LOOK, NAMES, NO_SKILL
from attentropy.report.content.source_tables import source_tables
from attentropy.report.content.trace_words import missing_attention
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.head_roles import head_columns
from attentropy.report.findings.highlights import absent, highlights, section_of
from attentropy.report.findings.scored_heads import HeadFact, model_heads
from attentropy.report.read.attention_layers import layers_without_attention
from attentropy.report.read.curves import Curve, attention_curves, difference_curves, lens_curves
from attentropy.report.read.maps import LONG, first_layer, has_map, score_names
from attentropy.report.read.opening_map import opening_map
from attentropy.report.read.sources import read_sources
from attentropy.report.read.unit_rows import UnitRows, unit_rows
from attentropy.report.read.views import View


@dataclass(frozen=True)
class Section:
    """One section below the first screen.

    `curves` have a panel each, by the name of its drawing; `tables` are the twins of its charts, by
    the chart's name; `findings` are those that the first screen does not show; `facts` are about
    the heads of the model; `panels_note` says which of several panels are shown, `note` what the
    section cannot show, and why.
    """

    id: str
    curves: Mapping[str, Curve] = field(default_factory=dict)
    tables: Mapping[str, ChartTable] = field(default_factory=dict)
    findings: Sequence[FindingLine] = ()
    facts: Sequence[HeadFact] = ()
    panels_note: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The name in the navigation."""
        return NAMES[self.id][0]

    @property
    def title(self) -> str:
        """The heading."""
        return NAMES[self.id][1]

    @property
    def look(self) -> str:
        """A sentence that says what to look for."""
        text = LOOK[self.id]
        return text if self.dashed else text.replace(" (the dashed line)", "")

    @property
    def dashed(self) -> bool:
        """Whether a panel shows the line of a uniform row."""
        return any(curve.uniform is not None for curve in self.curves.values())

    @property
    def is_cut(self) -> bool:
        """Whether a panel draws some values at its lower end."""
        return any((c.mean[np.isfinite(c.mean)] < c.bottom).any() for c in self.curves.values())


def trace_sections(
    trace: Trace,
    observations: Sequence[Observation],
    attention: planes.AttentionPlanes | None,
    views: Sequence[View],
    rows: Sequence[str],
    span: tuple[int, int],
    profile_tables: Sequence[ProfileTable],
) -> dict[str, Section]:
    """Return the sections of the page of one trace, in their order.

    `views` are those of the figure, `span` the positions [start, stop) of its section.
    """
    sections = {
        "profile": _profile(profile_tables),  # first: whoever profiles looks for it
        "sources": Section("sources", tables=source_tables(read_sources(trace), rows)),
        "lens": _lens(trace, rows),
        "attention": _attention(trace, attention, rows),
        "map": _map(trace, rows),
        "heads": _heads(trace, rows),
        "context": _context(trace, rows),
        "messages": Section("messages"),
        "segments": Section("segments"),
        "answer": _answer(trace),
        "tables": _figure_tables(views, rows, span),
        "provenance": Section("provenance"),
    }
    for units in unit_rows(trace, attention):
        sections[f"{units.kind}s"] = _units(units)
    lines: dict[str, list[FindingLine]] = {}
    on_first_screen = {*highlights(observations), *absent(observations)}
    for i, observation in enumerate(observations):
        if i not in on_first_screen:
            name = section_of(observation)
            home = name if sections[name].tables else _fallback(sections)
            lines.setdefault(home, []).append(finding_line(i, observation))
    always = ["tables", "provenance"] + ["heads"] * bool(head_columns(trace))  # it has the grid
    return {
        name: replace(section, findings=tuple(lines.get(name, ())))
        for name, section in sections.items()
        if section.tables or section.facts or name in lines or section.note or name in always
    }


def difference_sections(
    difference: Difference, views: Sequence[View], rows: Sequence[str], span: tuple[int, int]
) -> dict[str, Section]:
    """Return the sections of the page of a difference, in their order."""
    return {
        "layers": Section("layers", _by_name("layers", difference_curves(difference, views))),
        "tables": _figure_tables(views, rows, span),
        "provenance": Section("provenance"),
    }


def summary(curve: Curve, rows: Sequence[str]) -> str:
    """Return a panel in words, for readers who do not see it."""
    at = np.flatnonzero(np.isfinite(curve.mean))
    low, high = at[curve.mean[at].argmin()], at[curve.mean[at].argmax()]
    if number(curve.mean[low]) == number(curve.mean[high]):
        everywhere = "every layer" if len(at) > 1 else f"layer {rows[low]}"
        return f"{curve.title} by layer: {number(curve.mean[low])} in {everywhere}"
    return (
        f"{curve.title} by layer: {number(curve.mean[at[0]])} in layer {rows[at[0]]}, "
        f"{number(curve.mean[at[-1]])} in layer {rows[at[-1]]}; lowest "
        f"{number(curve.mean[low])} (layer {rows[low]}), highest "
        f"{number(curve.mean[high])} (layer {rows[high]})"
    )


def _lens(trace: Trace, rows: Sequence[str]) -> Section:
    """Return the section of the lens: its curves and their table."""
    curves = lens_curves(trace)
    title = f"Logit lens by layer, over all {_prompt(trace)}positions read"
    own = _curve_table("lens", title, curves, rows)
    has_skill = not curves or any(curve.name == "lens_skill" for curve in curves)
    return Section("lens", _by_name("lens", curves), own, note="" if has_skill else NO_SKILL)


def _attention(
    trace: Trace, attention: planes.AttentionPlanes | None, rows: Sequence[str]
) -> Section:
    """Return the section of attention: its curves, and for a long prompt its spread."""
    curves = attention_curves(trace, attention)
    title = f"Attention by layer, means over all {_prompt(trace)}queries and heads"
    own = _curve_table("attention", title, curves, rows)
    if attention is not None and attention.mean.shape[1] > LONG:
        layer = first_layer(attention)
        own["spread"] = tables.of_spread(trace, attention, layer, rows[layer])
    why = layers_without_attention(trace) if curves else ""
    return Section("attention", _by_name("attention", curves), own, note=why)


def _prompt(trace: Trace) -> str:
    """Return the word that limits positions to the prompt's, where an answer follows them."""
    return "prompt " if trace.prompt_tokens < trace.dataset.sizes["position"] else ""


def _map(trace: Trace, rows: Sequence[str]) -> Section:
    """Return the section of the map and the exact window, of the layer that opens."""
    own: dict[str, ChartTable] = {}
    opens = opening_map(trace)
    entry, label = opens.entry, rows[opens.entry]
    if has_map(trace):
        own["map"] = tables.of_map(trace, label, entry, opens.head)
        own["region"] = tables.of_region()
        if "received" in trace:
            own["received"] = tables.of_received(trace, label, entry)
    if "window" in trace and trace.dataset.sizes["window_query"] > 1:
        own["window"] = tables.of_window(trace, label, entry, opens.number)
    return Section("map", tables=own, note=missing_attention(trace))


def _heads(trace: Trace, rows: Sequence[str]) -> Section:
    """Return the section of the heads: what the model's own ones do, and their scores."""
    names = score_names(trace)
    own = {"roster": tables.of_heads(trace, names, rows)} if names else {}
    return Section("heads", tables=own, facts=tuple(model_heads(trace)))


def _context(trace: Trace, rows: Sequence[str]) -> Section:
    """Return the section on how far back heads attend."""
    use = trace.context_use()
    return Section("context", tables={} if use is None else context_tables(use, rows))


def _answer(trace: Trace) -> Section:
    """Return the section of the answer: its tokens with what the model's output said of them."""
    needed = ("generated_logprob", "generated_rank", "generated_entropy")
    if any(name not in trace for name in needed) or not trace.dataset.sizes.get("step"):
        return Section("answer")
    return Section("answer", tables={"answer": tables.of_answer(trace)})


def _units(units: UnitRows) -> Section:
    """Return the section of messages or segments: the answer's attention to each, and a table."""
    id = f"{units.kind}s"
    shown, measured = len(units.curves), sum(bool(np.isfinite(row.mass)) for row in units.rows)
    which = ""
    if shown < measured:
        which = f"Shown: the {shown} of {measured} rows of the table that receive most of it."
    own = {id: tables.of_units(units)}
    return Section(id, _by_name(id, units.curves), own, panels_note=which)


def _profile(profile_tables: Sequence[ProfileTable]) -> Section:
    """Return the section of the profile."""
    return Section("profile", tables={t.id: t for t in tables.of_profile(profile_tables)})


def _figure_tables(views: Sequence[View], rows: Sequence[str], span: tuple[int, int]) -> Section:
    """Return the section of the figure's tables."""
    return Section("tables", tables={v.name: tables.of_section(v, rows, *span) for v in views})


def _by_name(section: str, curves: Iterable[Curve]) -> dict[str, Curve]:
    """Return the curves by the names of their drawings."""
    return {f"{section}:{curve.name}": curve for curve in curves}


def _curve_table(
    section: str, title: str, curves: Sequence[Curve], rows: Sequence[str]
) -> dict[str, ChartTable]:
    """Return the table of a section's curves, by its name; nothing without curves."""
    return {"layers": tables.of_layers(section, title, curves, rows)} if curves else {}


def _fallback(sections: Mapping[str, Section]) -> str:
    """Return a section that the page has, for findings whose own section it does not have."""
    return next(name for name in ("lens", "attention", "tables") if sections[name].tables)
