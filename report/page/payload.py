"""What the page's script reads: packed values, labels, and where things are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette
from attentropy.report.compare.difference import Difference
from attentropy.report.figures.placement import Placement, pair_columns
from attentropy.report.figures.sizes import LIVE_CELLS, Size
from attentropy.report.findings.finding import Observation
from attentropy.report.pack.contents import Contents
from attentropy.report.read import statistics
from attentropy.report.read.views import View, of_site
from attentropy.report.read.visible import is_causal, partial, visible_keys
from attentropy.report.text import named

_OF_HEADS = ("headsPart", "headsTiles", "maxProb", "topKey", "headsSides", "topKeyB")


def facts(
    trace: Trace,
    observations: Sequence[Observation],
    views: Sequence[View],
    rows: Sequence[str],
    sizes: dict[str, Size],
    placed: Placement,
) -> dict[str, Any]:
    """Everything that the page's script reads beside the packed values."""
    notes = trace["attention_note"] if "attention_note" in trace else [""] * len(rows)
    heads = trace["heads"] if "heads" in trace else np.zeros(len(rows), int)
    kept = [int(head) for head in trace["head"]] if "head" in trace else []
    return {
        "n": trace.dataset.sizes["position"],
        "views": [view.name for view in views],
        "layers": list(rows),
        "heads": len(kept),
        "headNames": kept,
        "headCounts": [min(int(count), len(kept)) for count in heads],
        "notes": [named(str(note), 300) for note in notes],
        "partial": partial(trace),
        "visible": visible_keys(trace),
        "compare": _sides(trace),
        "causal": is_causal(trace),
        "placement": {
            "start": placed.start,
            "stop": placed.stop,
            "column": placed.column,
            "caption": placed.caption,
        },
        "scales": {view.name: _scale(view) for view in views},
        "statistics": {
            view.name: {s.name: s.facts() for s in statistics.offered(trace, view)}
            for view in views
        },
        "sites": [[site, of_site(site)] for site in statistics.sites(trace)],
        "maps": {name: list(stops) for name, stops in palette.MAPS.items()},
        "missing": palette.MISSING,
        "themes": {"light": palette.LIGHT, "dark": palette.DARK},
        "inks": [palette.DARK_INK, palette.LIGHT_INK],
        "liveCells": LIVE_CELLS,
        "overviewSteps": {view.name: view.step for view in views},
        "sizes": {name: layout(size, trace) for name, size in sizes.items()},
        "observations": [
            {
                "view": o.view, "layer": o.layer, "position": o.position, "head": o.head,
                "stat": o.statistic,
            }
            for o in observations
        ],
    }  # fmt: skip


def _scale(view: View) -> dict[str, Any]:
    return view.scale.facts() | {"title": view.title, "what": view.what}


def _sides(trace: Trace) -> dict[str, Any] | None:
    """What a page of two traces knows of both: how many keys the queries of each see."""
    if not isinstance(trace, Difference):
        return None
    return {"visible": [visible_keys(side) for side in trace.traces]}


def held(contents: Contents) -> tuple[dict[str, Any], dict[str, Any]]:
    """The packed values, and at which positions they are held one by one: what the first picture
    needs, and what may come later, where a page is reduced."""
    first = contents.packed
    later: dict[str, Any] = {}
    if contents.steps:
        late = [name for name in first if name.endswith("Whole") or name in _OF_HEADS]
        later = {"packed": {name: first[name] for name in late}, **contents.reach}
        first = {name: value for name, value in first.items() if name not in late}
    now = {
        "packed": first,
        "ranges": [list(r) for r in contents.ranges],
        "headRanges": [list(r) for r in contents.head_ranges],
        "steps": contents.steps,
        "headStep": contents.head_step,
        "texts": contents.texts,
        "vocabulary": contents.vocabulary,
        "later": bool(later),
        **({"windows": []} if later else contents.reach),
    }
    return now, later


def layout(size: Size, trace: Trace) -> dict[str, int]:
    return {
        "total": size.total, "left": size.left, "section": size.section, "height": size.height,
        "overview": size.overview, "above": size.above, "columns": pair_columns(size.columns) if isinstance(trace, Difference) else size.columns,
        "inset": size.inset, "insetFont": size.inset_font, "insetLetters": size.inset_letters,
    }  # fmt: skip
