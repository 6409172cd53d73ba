"""All that is written on the page as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.placement import Placement
from attentropy.report.read.maps import LONG, scored
from attentropy.report.read.views import View, of_site
from attentropy.report.read.visible import partial
from attentropy.report.scale import Scale
from attentropy.report.text import flowing, named, visible

_FIRST, _LAST = 24, 28  # what is shown of a long prompt before it is unfolded
_FOLDED = 120  # tokens from which on a prompt is folded
_PROMPT_TOKENS = 3000  # of longer ones only head and tail are in the page
_HEAD, _TAIL = 200, 800
SHADES = 32


def words(
    trace: Trace, placed: Placement, view: View, rows: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    """Title, prompt, description and provenance, for the page's template."""
    attrs = trace.attrs
    model = attrs.get("model", {})
    n = trace.dataset.sizes["position"]
    name = named(str(model.get("name", "model")))
    entropy = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    measured = np.flatnonzero(np.isfinite(view.values).any(1))
    deepest = int(measured[-1]) if measured.size else len(rows) - 1
    last = view.values[deepest]
    where = "the last layer" if deepest == len(rows) - 1 else f"layer {rows[deepest]}"
    texts = trace.tokens
    roles = trace["role"]

    def tokens(start: int, stop: int) -> list[dict[str, str]]:
        return [
            {
                "text": visible(texts[i]) if texts[i].strip() == "" else flowing(texts[i]),
                "role": str(roles[i]),
                "shade": _shade(last[i], view.scale),
                "title": f"position {i}, {roles[i]}: {_nats(last[i])}",
            }
            for i in range(start, stop)
        ]

    return {
        "version": _version(),
        "title": f"attentropy: {name}, {n} tokens",
        "heading": f"Where {name} is certain, and where it is not",
        "subtitle": (
            f"{n:,} tokens, {len(rows)} layers, {trace.dataset.sizes.get('head', 0)} heads, "
            f"{_parameters(model.get('parameters'))}{named(str(model.get('dtype', '')))} on "
            f"{named(str(model.get('device', 'unknown device')))}; all entropies in nats"
        ),
        "prompt": _folded(n, tokens),
        "answer": flowing(str(attrs.get("answer", ""))),
        "shade_note": f"Colour: {entropy} after {where}, {view.scale.words()}.",
        "figure_title": "Entropy by layer and position",
        "description": (
            f"Heatmap of {entropy}, {len(rows)} layers by {n} positions, with an overview, a "
            f"section of positions {placed.start} to {placed.stop - 1} and an inset of position "
            f"{placed.column}. The findings say what it shows, the tables hold its values."
        ),
        "provenance": list(_provenance(dict(attrs))),
    }


def _folded(n: int, tokens: Callable[[int, int], list[dict[str, str]]]) -> dict[str, Any]:
    """The prompt's first tokens, what is folded between (in two parts where some of it is not in
    the page), and its last ones; `tokens(start, stop)` gives those of a range."""
    if n <= _FOLDED:
        return {"first": tokens(0, n), "hidden": 0, "folded": [], "last": []}
    inner, end = (_FIRST, n - _LAST), n
    parts = [inner] if n <= _PROMPT_TOKENS else [(_FIRST, _HEAD), (end - _TAIL, end - _LAST)]
    return {
        "first": tokens(0, _FIRST),
        "hidden": inner[1] - inner[0],
        "folded": [tokens(*part) for part in parts],
        "left_out": f"… {n - _HEAD - _TAIL:,} tokens …",
        "last": tokens(n - _LAST, n),
    }


def captions(trace: Trace, placed: Placement, views: list[str]) -> dict[str, str]:
    """Below the figure, for each view: what is drawn, in which colours, and what the box says; with
    {what}, {colours} and {column} for `caption` to fill."""
    lens = _of_lens(trace) if "lens" in views else ""
    what = {
        "lens": (
            f"{{what}}{lens}, one row a layer",
            "Cells name the lens's likeliest token.",
            "Green: position {column} magnified, with the token's probability.",
            f" Blue box: {placed.caption}." if placed.caption else "",
        ),
        "attention": (
            "{what} of every query, mean over heads, one head, or the heads of a layer",
            "Cells name the most attended token.",
            "Green: the exact attention weights of the selected query and the two before it.",
            "",
        ),
    }
    return {
        view: (
            f"Top: {what[view][0]}; the purple frame is magnified below. {what[view][1]} "
            f"Colour: {{colours}}, light grey missing. {what[view][2]}{what[view][3]}"
        )
        for view in views
    }


def caption(template: str, view: View, placed: Placement) -> str:
    """One of `captions` for the statistic and the inset that open."""
    where = of_site(view.trace.site) if view.name == "lens" else ""
    filled = {"{what}": view.what + where, "{colours}": view.scale.words()}
    for gap, text in (filled | {"{column}": f"{placed.column:,}"}).items():
        template = template.replace(gap, text)
    return template


def banner(trace: Trace) -> str:
    """How far a run came that did not end; empty for one that did."""
    state = partial(trace)
    if state is None:
        return ""
    why = f" ({state['reason']})" if state["reason"] else ""
    return (
        f"A part of a run: {state['done']:,} of {state['tokens']:,} tokens were recorded before it "
        f"stopped{why}. What is grey was not reached."
    )


def absent(trace: Trace) -> str:
    """What a long prompt's page cannot show of its attention, and why; empty where nothing."""
    if "entropy" not in trace or trace.dataset.sizes["position"] <= LONG:
        return ""
    missing = []
    if "map" not in trace:
        missing.append("the map of all tokens (the trace holds none: extract with --map-tile auto)")
    elif "received" not in trace:
        missing.append("what each key receives (the trace does not hold it)")
    if not scored(trace):
        missing.append("the scores of the heads (the trace holds none: extract with --scores)")
    return f"Not shown: {'; '.join(missing)}." if missing else ""


def _of_lens(trace: Trace) -> str:
    """At how many positions and layers the lens reads."""
    read = np.isfinite(trace.lens("lens_entropy"))
    layers, n = read.shape
    some = f"{int(read.any(0).sum()):,} of {n:,} positions"
    at = "every position" if read.any(0).all() else some
    rows = "" if read.any(1).all() else f", {int(read.any(1).sum())} of {layers} layers read"
    return f" at {at}{rows}"


def _nats(value: float) -> str:
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _shade(value: float, scale: Scale) -> str:
    if not np.isfinite(value):
        return "missing"
    return f"s{min(SHADES - 1, int(float(scale.at(value)) * SHADES))}"


def _parameters(count: Any) -> str:
    if not isinstance(count, int):
        return ""
    return (
        f"{count / 1e9:.1f} B parameters, " if count >= 1e9 else f"{count / 1e6:.1f} M parameters, "
    )


def _provenance(attrs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, value) lines of what the trace says of its making."""
    for section in (
        "model",
        "tokenizer",
        "prompt",
        "implementation",
        "versions",
        "options",
        "notes",
    ):
        value = attrs.get(section)
        if isinstance(value, dict):
            said = [f"{key} {item}" for key, item in value.items() if item is not None]
            yield section, named(", ".join(said), 2000)
        elif isinstance(value, list):
            yield section, named("; ".join(str(item) for item in value), 2000) or "none"
        elif value is not None:
            yield section, named(str(value), 200)


def _version() -> str:
    try:
        return version("attentropy")
    except PackageNotFoundError:
        return "unknown"
