"""All that is written on the page as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from attentropy.engine.trace import Trace
from attentropy.report import reach
from attentropy.report.figures.placement import Placement
from attentropy.report.labels import short, visible
from attentropy.report.observation import Observation
from attentropy.report.payload import partial
from attentropy.report.scale import Scale
from attentropy.report.views import View, scale

_PROMPT_TOKENS = 3000  # longer prompts are folded to their head and tail
_HEAD, _TAIL = 200, 800
_TABLE_COLUMNS = 24
SHADES = 32


def words(
    trace: Trace,
    observations: Sequence[Observation],
    placed: Placement,
    view: View,
    rows: Sequence[str],
) -> dict[str, Any]:
    """Title, tokens, findings, table and provenance, for the page's template."""
    attrs = trace.attrs
    model = attrs.get("model", {})
    n = trace.dataset.sizes["position"]
    name = str(model.get("name", "model"))
    entropy = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    measured = np.flatnonzero(np.isfinite(view.values).any(1))
    deepest = int(measured[-1]) if measured.size else len(rows) - 1
    last = view.values[deepest]
    where = "the last layer" if deepest == len(rows) - 1 else f"layer {rows[deepest]}"
    texts = trace.tokens
    roles = trace["role"]
    shown = range(n) if n <= _PROMPT_TOKENS else [*range(_HEAD), *range(n - _TAIL, n)]
    tokens = [
        {
            "text": visible(texts[i]) if texts[i].strip() == "" else texts[i],
            "role": str(roles[i]),
            "shade": _shade(last[i], view.scale),
            "title": f"position {i}, {roles[i]}: {_nats(last[i])}",
        }
        for i in shown
    ]
    if n > _PROMPT_TOKENS:
        folded = f"… {n - _HEAD - _TAIL:,} tokens …"
        tokens.insert(_HEAD, {"text": folded, "role": "folded", "shade": "", "title": folded})
    start = max(placed.start, placed.stop - _TABLE_COLUMNS)
    stop = min(placed.stop, start + _TABLE_COLUMNS)
    columns = range(start, stop)
    cells = view.texts(start, stop)
    kinds = "top token" if view.name == "lens" else "most attended token"
    return {
        "version": _version(),
        "title": f"attentropy: {name}, {n} tokens",
        "heading": f"Where {name} is certain, and where it is not",
        "subtitle": (
            f"{n:,} tokens, {len(rows)} layers, {trace.dataset.sizes.get('head', 0)} heads, "
            f"{_parameters(model.get('parameters'))}{model.get('dtype', '')} on "
            f"{model.get('device', 'unknown device')}; all entropies in nats"
        ),
        "tokens": tokens,
        "answer": str(attrs.get("answer", "")),
        "shade_note": f"Colour: {entropy} after {where}, {view.scale.words()}.",
        "cut": f"The first {_HEAD} and the last {_TAIL} tokens." if n > _PROMPT_TOKENS else "",
        "figure_title": "Entropy by layer and position",
        "description": (
            f"Heatmap of {entropy}, {len(rows)} layers by {n} positions, with an overview, a "
            f"section of positions {placed.start} to {placed.stop - 1} and an inset of position "
            f"{placed.column}. The findings below say what it shows."
        ),
        "findings": [
            {"text": o.text, "found": o.found, "numbers": _numbers(o)} for o in observations
        ],
        "table_note": f"entropy in nats and {kinds}, positions {start} to {stop - 1}",
        "table_columns": [short(texts[i], 14) for i in columns],
        "table": [
            {
                "label": rows[r],
                "cells": [
                    (_nats(view.values[r, i]).removesuffix(" nats"), cells[r][i - start])
                    for i in columns
                ],
            }
            for r in reversed(range(len(rows)))
        ],
        "provenance": list(_provenance(attrs)),
    }


def captions(trace: Trace, placed: Placement, views: list[str]) -> dict[str, str]:
    """Below the figure, for each view: what is drawn, in which colours, and what the box says."""
    colours = {name: scale(trace, name).words() for name in views}
    lens = _of_lens(trace) if "lens" in views else ""
    what = {
        "lens": (
            f"logit-lens entropy{lens}, one row a layer",
            "Cells name the lens's likeliest token.",
            f"Green: position {placed.column} magnified, with the token's probability.",
            f" Blue box: {placed.caption}." if placed.caption else "",
        ),
        "attention": (
            "attention entropy of every query, mean over heads, one head, or the heads of a layer",
            "Cells name the most attended token.",
            "Green: the exact attention weights of the selected query and the two before it.",
            "",
        ),
    }
    return {
        view: (
            f"Top: {what[view][0]}; the purple frame is magnified below. {what[view][1]} "
            f"Colour: {colours[view]}, grey missing. {what[view][2]}{what[view][3]}"
        )
        for view in views
    }


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
    if "entropy" not in trace or trace.dataset.sizes["position"] <= reach.LONG:
        return ""
    missing = []
    if "map" not in trace:
        missing.append("the map of all tokens (the trace holds none: extract with --map-tile auto)")
    elif "received" not in trace:
        missing.append("what each key receives (the trace does not hold it)")
    if not reach.scored(trace):
        missing.append("the scores of the heads (the trace holds none: extract with --scores)")
    return f"Not shown: {'; '.join(missing)}." if missing else ""


def _of_lens(trace: Trace) -> str:
    """Which site the lens reads, and at how many positions and layers."""
    site = "" if trace.site == "residual" else f" of the {trace.site} block's output alone"
    read = np.isfinite(trace.lens("lens_entropy"))
    layers, n = read.shape
    some = f"{int(read.any(0).sum()):,} of {n:,} positions"
    at = "every position" if read.any(0).all() else some
    rows = "" if read.any(1).all() else f", {int(read.any(1).sum())} of {layers} layers read"
    return f"{site} at {at}{rows}"


def _nats(value: float) -> str:
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _shade(value: float, scale: Scale) -> str:
    if not np.isfinite(value):
        return "missing"
    return f"s{min(SHADES - 1, int(float(scale.at(value)) * SHADES))}"


def _numbers(observation: Observation) -> str:
    if observation.value is None:
        parts = [f"{observation.statistic}: not measured"]
    else:
        parts = [f"{observation.statistic} = {observation.value:.4g} {observation.unit}"]
    if observation.threshold is not None:
        parts.append(f"held against {observation.threshold:.3g}")
    if observation.n is not None:
        parts.append(f"n = {observation.n}")
    return "; ".join(parts)


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
            yield section, ", ".join(said)[:2000]
        elif isinstance(value, list):
            yield section, "; ".join(str(item) for item in value)[:2000] or "none"
        elif value is not None:
            yield section, str(value)[:200]


def _version() -> str:
    try:
        return version("attentropy")
    except PackageNotFoundError:
        return "unknown"
