"""The facts that a page's script reads besides the packed values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from attentropy.report import palette
from attentropy.report.content.report import Report, ReportView
from attentropy.report.figures import exactmap, headgrid, readable_rows
from attentropy.report.figures import tilemap as attentionmap
from attentropy.report.figures.placement import box_caption
from attentropy.report.figures.sizes import LIVE_CELLS, Size
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.head_roles import KINDS
from attentropy.report.page.source_facts import SourceFacts, source_facts
from attentropy.report.page.terms import TermFacts, term_facts
from attentropy.report.read.views import site_words
from attentropy.report.read.visible import RunProgress, VisibleLines
from attentropy.report.text import for_tooltip


class _Placement(TypedDict):
    start: int
    stop: int
    column: int
    isChosen: bool
    box: tuple[int, int]
    captions: dict[str, str]


class _Finding(TypedDict):
    """Where the figure shows a finding."""

    view: str
    layer: int | None
    position: int | None
    head: int | None
    stat: str


class _Sides(TypedDict):
    """What a page of two traces knows of both."""

    visible: list[VisibleLines | None]
    leavesSinksOut: bool


class _MapSize(TypedDict):
    side: int
    part: tuple[int, int]


class Facts(TypedDict):
    """The facts by the names that the script gives them."""

    n: int
    prompt: int
    views: list[str]
    layers: list[str]
    heads: int
    headNames: list[int]
    headCounts: list[int]
    notes: list[str]
    partial: RunProgress | None
    visible: VisibleLines | None
    compare: _Sides | None
    causal: bool
    placement: _Placement
    terms: TermFacts
    answerToken: str
    fitted: bool
    scales: dict[str, dict[str, Any]]
    statistics: dict[str, dict[str, dict[str, Any]]]
    sites: list[list[str]]
    maps: dict[str, list[str]]
    missing: str
    themes: dict[str, dict[str, str]]
    inks: list[str]
    liveCells: int
    overviewSteps: dict[str, int]
    readable: dict[str, dict[str, Any]]
    sizes: dict[str, dict[str, int]]
    observations: list[_Finding]
    captions: dict[str, str]
    rehearsals: dict[str, dict[str, str]]
    sinkKeys: list[list[int]]
    mapHeads: int
    windowPerHead: bool
    mapLayer: int
    mapHead: int
    mapSizes: dict[str, _MapSize]
    windowSides: dict[str, int]
    region: NotRequired[dict[str, int]]
    gridHeads: list[int]
    gridSizes: dict[str, dict[str, dict[str, Any]]]
    headKinds: list[str]
    sources: SourceFacts | None


def _sides(report: Report) -> _Sides:
    return {
        "visible": list(report.axes.side_visible), "leavesSinksOut": report.attention.hides_sinks,
    }  # fmt: skip


def facts(report: Report) -> Facts:
    """Return everything that the page's script reads besides packed values and specifications."""
    axes, views, placed = report.axes, report.views, report.placement
    payload: Facts = {
        "n": axes.positions,
        "prompt": axes.prompt,
        "views": [view.name for view in views],
        "layers": list(axes.layers),
        "heads": len(axes.heads),
        "headNames": list(axes.heads),
        "headCounts": list(axes.head_counts),
        "notes": list(axes.attention_notes),
        "partial": axes.progress,
        "visible": axes.visible,
        "compare": _sides(report) if axes.side_visible else None,
        "causal": axes.is_causal,
        "placement": {
            "start": placed.start,
            "stop": placed.stop,
            "column": placed.column,
            "isChosen": report.is_section_chosen,
            "box": (placed.box_start, placed.box_stop),
            "captions": {
                **{view.name: box_caption(view.name, placed) for view in views},
                "other": box_caption("", placed),  # of a site without the rehearsal that is named
            },
        },
        "terms": term_facts(),
        "answerToken": for_tooltip(axes.answer_token),
        "fitted": views[0].opens_fitted,
        "scales": {view.name: _scale(view) for view in views},
        "statistics": {v.name: {s.name: s.facts() for s in v.statistics} for v in views},
        "sites": [[site, site_words(site)] for site in axes.sites],
        "maps": {name: list(stops) for name, stops in palette.MAPS.items()},
        "missing": palette.MISSING,
        "themes": {"light": palette.LIGHT, "dark": palette.DARK},
        "inks": [palette.DARK_INK, palette.LIGHT_INK],
        "liveCells": LIVE_CELLS,
        "overviewSteps": {view.name: view.step for view in views},
        "readable": {site: asdict(lens) for site, lens in report.readable.items()},
        "sizes": {
            width: _layout(size, report.section_columns[width])
            for width, size in report.sizes.items()
        },
        "observations": [_finding(observation) for observation in report.findings],
        "captions": {view.name: view.caption_template for view in views},
        "rehearsals": {at: dict(lines) for at, lines in report.rehearsals.items()},
        "sinkKeys": list(report.attention.sink_keys),
        "mapHeads": len(report.attention.map_heads),
        "windowPerHead": report.attention.is_window_per_head,
        "mapLayer": report.attention.map_layer,
        "mapHead": report.attention.map_head,
        "windowSides": {"wide": exactmap.WIDE, "narrow": exactmap.NARROW},
        "mapSizes": {
            "wide": _map_size(attentionmap.WIDE),
            "narrow": _map_size(attentionmap.NARROW),
        },
        "gridHeads": list(report.attention.grid.heads),
        "gridSizes": _grid_sizes(len(axes.layers), len(report.attention.grid.heads)),
        "headKinds": list(KINDS),
        "sources": source_facts(report.sources, report.hidden_words),
    }
    if report.attention.map_region is not None:
        (q0, q1), (k0, k1) = report.attention.map_region
        payload["region"] = {"q0": q0, "q1": q1, "k0": k0, "k1": k1}
    return payload


def _grid_sizes(layers: int, heads: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the pixels of the grids of all heads, by chart and width."""
    if not heads:
        return {}
    wide, narrow = (headgrid.section_size(layers, heads, is_narrow) for is_narrow in (False, True))
    return {
        "grid": {"wide": headgrid.card_size(layers, heads).facts()},
        "roster": {"wide": wide.facts(), "narrow": narrow.facts()},
    }


def _scale(view: ReportView) -> dict[str, Any]:
    """Return a view's scale with its words, and `fit`, the same fitted; None where none is."""
    words = {"title": view.title, "what": view.what}
    fit = None if view.fit is None else view.fit.facts() | words
    return view.scale.facts() | words | {"fit": fit}


def _finding(observation: Observation) -> _Finding:
    """Return where the figure shows a finding."""
    return {
        "view": observation.view,
        "layer": observation.layer,
        "position": observation.position,
        "head": observation.head,
        "stat": observation.shows or observation.statistic,
    }


def _map_size(size: attentionmap.MapSize) -> _MapSize:
    """Return the pixels of the map's panels."""
    return {"side": size.side, "part": size.part}


def _layout(size: Size, columns: int) -> dict[str, int]:
    """Return the pixels of the figure's parts, and how many columns its section shows at first."""
    strip, strip_width = readable_rows.strip_pixels(size)
    strip += size.section
    rest = sum(size.margins) + size.left + size.right
    return {
        "total": size.total, "left": size.left, "section": size.section, "height": size.height,
        "overview": size.overview, "above": size.above, "columns": columns,
        "inset": size.inset, "insetFont": size.inset_font, "insetLetters": size.inset_letters,
        "strip": strip, "stripWidth": strip_width,
        "column": size.column, "rest": rest, "bars": size.bars, "hidden": size.hidden,
    }  # fmt: skip
