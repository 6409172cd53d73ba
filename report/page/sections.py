"""The sections below the first screen: which there are, what to look for in each, what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.highlights import highlights, section_of
from attentropy.report.page import tables
from attentropy.report.page.tables import Table
from attentropy.report.page.words import absent
from attentropy.report.read import layers as bylayer
from attentropy.report.read.layers import Curve
from attentropy.report.read.maps import LONG, first_layer, has_map, scored
from attentropy.report.read.views import View

_NAMES = {
    "layers": ("By layer", "By layer"),
    "lens": ("Lens", "What the lens reads, layer by layer"),
    "attention": ("Attention", "How focused attention is"),
    "map": ("Map", "Where attention goes"),
    "heads": ("Heads", "Heads"),
    "profile": ("Profile", "Profile"),
    "tables": ("Tables", "The figure as tables"),
    "provenance": ("Provenance", "Provenance"),
}
_LOOK = {
    "layers": "Look for the layers at which the two part.",
    "lens": (
        "Look for the layer from which on the lens says what the model goes on to say: entropy "
        "falls, the share of positions rises towards 100 %, the divergence goes to 0."
    ),
    "attention": (
        "Look for layers that stand apart: a low normalized entropy with much sink mass is "
        "attention parked on the first tokens, with a short distance it is local."
    ),
    "map": (
        "Look for columns (keys that many queries attend to), a strong diagonal (attention stays "
        "near) and blocks below it (a passage looks back at an earlier one)."
    ),
    "heads": (
        "Look for framed heads, which pass the score's threshold, and for layers whose heads all "
        "look alike."
    ),
    "profile": "Look for the part that grows along the prompt, and for what recording adds.",
    "tables": (
        "The figure's section as it opens; the CSV button above the figure has what it shows now."
    ),
    "provenance": "What this page was made from: the same trace and version give the same bytes.",
}


@dataclass
class Section:
    """`curves`: a panel for each, by the name of its drawing; `tables` the twins of its charts by
    the chart's name; `findings` those that the first screen does not tell."""

    id: str
    curves: dict[str, Curve] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""  # what the section cannot show, and why

    @property
    def name(self) -> str:
        """For the navigation."""
        return _NAMES[self.id][0]

    @property
    def title(self) -> str:
        """For the heading."""
        return _NAMES[self.id][1]

    @property
    def look(self) -> str:
        """One sentence: what to look for."""
        return _LOOK[self.id]

    @property
    def dashed(self) -> bool:
        """Whether a panel has the line of a uniform row."""
        return any(curve.uniform is not None for curve in self.curves.values())


def sections(
    trace: Trace,
    observations: Sequence[Observation],
    attention: planes.Attention | None,
    shown: Sequence[View],
    rows: Sequence[str],
    span: tuple[int, int],
    profile: dict[str, Any] | None,
) -> dict[str, Section]:
    """What the page has below its first screen, in its order. `shown` are the figure's views,
    `span` the positions [start, stop) of its section, `profile` what the page shows of one."""
    found = {
        "lens": _lens(trace, rows),
        "attention": _attention(trace, attention, rows),
        "map": _map(trace, rows[0]),
        "heads": _heads(trace, rows),
        "profile": _profile(profile),
        "tables": Section(
            "tables",
            tables={view.name: tables.of_section(view, rows, *span) for view in shown},
        ),
        "provenance": Section("provenance"),
    }
    told = set(highlights(observations))
    for i, observation in enumerate(observations):
        if i not in told:
            where = section_of(observation)
            home = where if found[where].tables else _other(found)
            found[home].findings.append(finding(i, observation))
    kept = ("tables", "provenance")
    return {
        name: section
        for name, section in found.items()
        if section.tables or section.findings or section.note or name in kept
    }


def finding(index: int, observation: Observation) -> dict[str, Any]:
    """A finding for the template; `index` is where the script finds the place to show."""
    verdict = "" if observation.found else "not measured"
    if not observation.found and observation.value is not None:
        verdict = "no finding"
    return {
        "index": index,
        "text": observation.text,
        "verdict": verdict,
        "statistic": observation.statistic,
        "numbers": numbers(observation),
    }


def numbers(observation: Observation) -> str:
    """Statistic, value, threshold and n of a finding."""
    if observation.value is None:
        parts = [f"{observation.statistic}: not measured"]
    else:
        parts = [f"{observation.statistic} = {observation.value:.3g} {observation.unit}"]
    if observation.threshold is not None:
        parts.append(f"threshold {observation.threshold:.3g}")
    elif observation.value is not None:
        parts.append("no threshold")
    if observation.n is not None:
        parts.append(f"n = {observation.n:,}")
    return "; ".join(parts)


def summary(curve: Curve, rows: Sequence[str]) -> str:
    """A panel in words, for those who do not see it."""
    at = np.flatnonzero(np.isfinite(curve.mean))
    low, high = at[curve.mean[at].argmin()], at[curve.mean[at].argmax()]
    return (
        f"{curve.title} by layer: {tables.number(curve.mean[at[0]])} in layer {rows[at[0]]}, "
        f"{tables.number(curve.mean[at[-1]])} in layer {rows[at[-1]]}; lowest "
        f"{tables.number(curve.mean[low])} (layer {rows[low]}), highest "
        f"{tables.number(curve.mean[high])} (layer {rows[high]})"
    )


def _lens(trace: Trace, rows: Sequence[str]) -> Section:
    curves = bylayer.lens(trace)
    title = "The lens by layer, over the positions that it read"
    return Section("lens", _named("lens", curves), _table("lens", title, curves, rows))


def _attention(
    trace: Trace, attention: planes.Attention | None, rows: Sequence[str]
) -> Section:  # fmt: skip
    curves = bylayer.attention(trace, attention)
    title = "Attention by layer: means over all queries and heads"
    found = Section(
        "attention", _named("attention", curves), _table("attention", title, curves, rows)
    )
    if attention is not None and attention.mean.shape[1] > LONG:
        layer = first_layer(attention)
        found.tables["spread"] = tables.of_spread(trace, attention, layer, rows[layer])
    return found


def _map(trace: Trace, label: str) -> Section:
    found = Section("map", note=absent(trace))
    if has_map(trace):
        found.tables["map"] = tables.of_map(trace, label)
        found.tables["region"] = tables.of_region()
        if "received" in trace:
            found.tables["received"] = tables.of_received(trace, label)
    if "window" in trace and trace.dataset.sizes["window_query"] > 1:
        found.tables["window"] = tables.of_window(trace, label)
    return found


def _heads(trace: Trace, rows: Sequence[str]) -> Section:
    names = scored(trace)
    return Section("heads", tables={"roster": tables.of_heads(trace, names, rows)} if names else {})


def _profile(profile: dict[str, Any] | None) -> Section:
    made = tables.of_profile(profile["tables"]) if profile else ()
    return Section("profile", tables={table.id: table for table in made})


def _named(section: str, curves: Iterable[Curve]) -> dict[str, Curve]:
    return {f"{section}:{curve.name}": curve for curve in curves}


def _table(
    section: str, title: str, curves: Sequence[Curve], rows: Sequence[str]
) -> dict[str, Table]:
    return {"layers": tables.of_layers(section, title, curves, rows)} if curves else {}


def _other(found: dict[str, Section]) -> str:
    """A section that the page has, for findings whose own it has not."""
    return next(name for name in ("lens", "attention", "tables") if found[name].tables)
