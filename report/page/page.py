"""A trace in, one HTML file out: no network, no inline handler, every token escaped.

The file is never larger than the bytes it is allowed; what does not fit is reduced, and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette, planes
from attentropy.report.compare.difference import Difference
from attentropy.report.figures.layerpanel import layerpanel
from attentropy.report.figures.placement import place
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.highlights import highlights
from attentropy.report.pack.budget import MAX_BYTES, Budget
from attentropy.report.pack.contents import contents
from attentropy.report.pack.notice import reduction
from attentropy.report.pack.statistics import buy, said
from attentropy.report.page import words_compared as comparison_words
from attentropy.report.page.charts import drawings, places
from attentropy.report.page.document import Still, environment, policy, source, stills
from attentropy.report.page.payload import facts, held
from attentropy.report.page.profile import section as profiled
from attentropy.report.page.program import program
from attentropy.report.page.sections import finding, summary
from attentropy.report.page.sections import sections as sections_of
from attentropy.report.page.words import SHADES, banner, caption, captions, words
from attentropy.report.read import statistics, views
from attentropy.report.read.maps import has_map, scored
from attentropy.report.read.positions import Range

Pictures = dict[str, Still | None]

_SPARE = 8_000  # bytes: the sentence that says what was reduced, and keys


@debug_mode(False)  # charts are validated when they are written, not once more in each part
def render(
    trace: Trace,
    observations: Sequence[Observation],
    *,
    attention: planes.Attention | None = None,
    max_bytes: int = MAX_BYTES,
    sections: Sequence[Range] = (),
) -> str:
    """The report as one HTML document of at most `max_bytes`; the same trace and version give the
    same bytes. The first of `sections` is where the figure opens, and all of them are held one
    position at a time. `attention` spares reading the entropies of all heads again.

    Raises `TraceError` for a trace that holds neither attention nor lens entropies, `UsageError`
    where `max_bytes` is too little.
    """
    names = views.names(trace)
    attention = attention or planes.attention(trace)
    shown = [views.view(trace, name, attention) for name in names]
    rows = [str(int(layer)) for layer in trace["layer"]]
    sizes = {"wide": wide(len(rows)), "narrow": narrow(len(rows))}
    asked = sections[0] if sections else None
    placed = {name: place(trace, layout.columns, asked) for name, layout in sizes.items()}
    drawn = drawings(trace, shown, attention, rows, sizes, placed)

    below = captions(trace, placed["wide"], names)
    opens = {view.name: caption(below[view.name], view, placed["wide"]) for view in shown}
    script, bundle = source("script/shell/loader.js"), program()
    style = source("page.css") + _shade_classes()
    scores = scored(trace)
    profile = profiled(trace)
    span = placed["wide"].start, placed["wide"].stop
    if isinstance(trace, Difference):
        below_it = comparison_words.sections(shown, rows, span)
        told = list(range(len(observations)))
    else:
        below_it = sections_of(trace, observations, attention, shown, rows, span, profile)
        told = highlights(observations)
    curves = {name: c for part in below_it.values() for name, c in part.curves.items()}
    context = words(trace, placed["wide"], shown[0], rows) | {
        "policy": policy(style, script, bundle.text),
        "script": Markup(script),  # our own code, nothing of the trace
        "program": bundle.packed,
        "style": Markup(style),
        "captions": opens,
        "views": names,
        "sites": statistics.sites(trace),
        "statistics": any(statistics.offered(trace, view) for view in shown),
        "layers": rows,
        "tiled": any(view.step > 1 for view in shown),
        "heads": [int(head) for head in trace["head"]] if "head" in trace else [],
        "scores": scores,
        "partial": banner(trace),
        "findings": [finding(i, observations[i]) for i in told],
        "sections": below_it,
        "panels": {name: summary(curve, rows) for name, curve in curves.items()},
        "window_per_head": _per_head(trace, "window"),
        "map_heads": [int(head) for head in trace["map_head"]] if has_map(trace) else [],
        "profile": profile,
    }
    template = environment().get_template("page.html.j2")
    if isinstance(trace, Difference):  # the same page, told of two
        template = environment().get_template("compare.html.j2")
        context |= comparison_words.words(trace, shown, rows)
        below = context["captions"]
        context["captions"] = {v.name: caption(below[v.name], v, placed["wide"]) for v in shown}
    values = facts(trace, observations, shown, rows, sizes, placed["wide"])
    values |= {"captions": below, "specs": {name: d.specs for name, d in drawn.items()}}
    values |= places(trace)
    pictures: Pictures = {
        f"{name} {width}" if width != "wide" else name: stills(chart)
        for name, drawing in drawn.items()
        for width, chart in drawing.charts.items()
        if width == "wide" or name == "figure"
    }
    pictures |= {name: stills(layerpanel(curve, rows)) for name, curve in curves.items()}
    for kept_of in _STILLS:
        context["drawings"] = kept_of(pictures)
        frame = template.render(
            context | {"payload": values, "reduced": "", "later": {}, "more": {}}
        )
        budget = Budget(max_bytes - len(frame.encode()) - _SPARE)
        if budget.left >= _LEAST_SHARE * max_bytes:
            break
    if budget.left <= 0:
        least = len(frame.encode()) + _SPARE
        raise UsageError(f"the page takes {least:,} bytes before any value: allow more than that")
    kept = contents(trace, shown, attention, sections, budget)
    more = buy(trace, shown, kept, budget)
    now, later = held(kept)
    context |= {
        "payload": values | now | {"offered": more.offered()},
        "later": later,
        "more": more.values(),
        "reduced": reduction(trace, shown, kept, max_bytes) + said(more, kept),
    }
    page = template.render(context) + "\n"
    if len(page.encode()) > max_bytes:
        raise RuntimeError(f"the page took {len(page.encode())} bytes of {max_bytes}")
    return page


def _all(pictures: Pictures) -> Pictures:
    return pictures


def _wide(pictures: Pictures) -> Pictures:
    return {n: None if n.endswith(" narrow") else still for n, still in pictures.items()}


def _of_the_figure(pictures: Pictures) -> Pictures:
    return {name: still if name == "figure" else None for name, still in pictures.items()}


def _light(pictures: Pictures) -> Pictures:
    still = pictures["figure"]
    light = None if still is None else replace(still, dark=still.light)
    return _of_the_figure({**pictures, "figure": light})


def _none(pictures: Pictures) -> Pictures:
    return dict.fromkeys(pictures)


# What is left out of the still pictures, one after the other, until the values have their share.
_STILLS = (_all, _wide, _of_the_figure, _light, _none)
_LEAST_SHARE = 0.3


def _per_head(trace: Trace, name: str) -> bool:
    return name in trace and f"{name}_entropy" not in trace


def _shade_classes() -> str:
    """A class for each step of the scale, so that tokens have colour without inline styles."""
    steps = palette.colors((np.arange(SHADES) + 0.5) / SHADES, 0, 1)
    fills, inks = palette.hexes(steps), palette.inks(steps)
    return "".join(
        f".s{i}{{background:{fill};color:{ink}}}"
        for i, (fill, ink) in enumerate(zip(fills, inks, strict=True))
    )
