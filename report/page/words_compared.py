"""All that the page of a difference writes as text, beside what every page has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import is_redacted
from attentropy.report.compare.difference import ONLY_A, ONLY_B, Difference
from attentropy.report.findings.compared import by_layer
from attentropy.report.page import tables
from attentropy.report.page.sections import Section
from attentropy.report.page.words import SHADES
from attentropy.report.read.views import SCALE_PERCENTILE, View
from attentropy.report.text import flowing, named, visible

_MOST_TOKENS, _HEAD, _TAIL = 3000, 200, 800  # of more columns only head and tail are written
_ALONE = {ONLY_A: "only in A", ONLY_B: "only in B"}
_MOST_NAME, _MOST_VALUE = 60, 300  # letters of a provenance entry


def words(of: Difference, views: Sequence[View], rows: Sequence[str]) -> dict[str, Any]:
    """What is said otherwise than of a single trace; the first of `views` is the one that opens."""
    view = views[0]
    same = [name for name in ("model", "prompt") if _same(of, name)]
    what = {
        ("model", "prompt"): "Two runs of one model on one prompt",
        ("model",): "One model on two prompts",
        ("prompt",): "Two models on one prompt",
    }.get(tuple(same), "Two models on two prompts")
    kind = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    both, n = int(of.both.sum()), of.kind.size
    how = "the tokens' texts (the ids of the two mean other texts)" if of.by_text else "token ids"
    gaps = "".join(f", {int((of.kind == side).sum()):,} {name}" for side, name in _ALONE.items())
    left_out = "; texts are left out: numbers, roles and lengths stand for them"
    measured = np.flatnonzero(np.isfinite(view.values).any(1))
    deepest = int(measured[-1]) if measured.size else len(rows) - 1
    return {
        "title": f"attentropy: {named(of.names[1])} − {named(of.names[0])}",
        "heading": f"{what}: what differs",
        "subtitle": (
            f"B − A in nats, aligned by {how}: {both:,} tokens in both{gaps}; {len(rows)} layers"
            f"{left_out if is_redacted(of.a) else ''}"
        ),
        "sides": [_side(of, side) for side in (0, 1)],
        "columns": _tokens(of, view, deepest),
        "answer": "",
        "absent": _absent(of),
        "shade_note": (
            f"Colour: B − A of {kind} after layer {rows[deepest]}, {view.scale.words()}."
        ),
        "figure_title": "B − A by layer and position",
        "description": (
            f"Heatmap of the difference B − A of {kind}, {len(rows)} layers by {n} columns, zero "
            "in the middle of the scale. The findings below say what it shows."
        ),
        "captions": _captions(views),
        "by_layer": _by_layer(of, rows),
        "both_provenances": list(_provenances(of)),
    }


def sections(
    views: Sequence[View], rows: Sequence[str], span: tuple[int, int]
) -> dict[str, Section]:
    """What the page has below its first screen; `span` are the columns [start, stop) of the
    figure's section."""
    values = {view.name: tables.of_section(view, rows, *span) for view in views}
    return {
        "layers": Section("layers"),
        "tables": Section("tables", tables=values),
        "provenance": Section("provenance"),
    }


def _captions(views: Sequence[View]) -> dict[str, str]:
    """Below the figure, for each view: what is drawn, with {colours} for `caption` to fill."""
    cells = {
        "lens": "Cells name the lens's likeliest token in A → in B",
        "attention": "Cells name the most attended token in A → in B",
    }
    kinds = {
        "lens": "logit-lens entropy",
        "attention": "attention entropy, mean over heads, one head, or the heads of a layer",
    }
    return {
        view.name: (
            f"B − A of {kinds[view.name]}: {{colours}}. {_ends(view)} Light grey: missing, or "
            "a token of one side alone. Top: every column; the purple frame is magnified below. "
            f"{cells[view.name]} (or A over B), once where it is the same. Green: the selected "
            "column magnified."
        )
        for view in views
    }


def _ends(view: View) -> str:
    there = np.abs(view.values[np.isfinite(view.values)])
    most = float(there.max()) if there.size else 0.0
    if most == 0:
        return "There is no difference anywhere."
    return (
        f"The scale ends at the {SCALE_PERCENTILE:g}th percentile of |B − A|; the largest is "
        f"{most:.2f} nats."
    )


def _same(of: Difference, name: str) -> bool:
    one, other = (trace.attrs.get(name) for trace in of.traces)
    return bool(one == other)


def _side(of: Difference, side: int) -> dict[str, str]:
    trace: Trace = of.traces[side]
    model = trace.attrs.get("model")
    model = model if isinstance(model, dict) else {}
    known = [model.get(name) for name in ("name", "revision", "dtype")]
    return {
        "letter": "AB"[side],
        "name": named(of.names[side]),
        "model": ", ".join(named(str(value), 200) for value in known if value is not None),
        "tokens": f"{len(trace.tokens):,} tokens",
        "answer": flowing(str(trace.attrs.get("answer", ""))),
    }


def _tokens(of: Difference, view: View, deepest: int) -> list[dict[str, str]]:
    """Every column as a token: what of it is on which side, and its values there; of many columns
    the first and the last ones."""
    n = of.kind.size
    shown = range(n) if n <= _MOST_TOKENS else [*range(_HEAD), *range(n - _TAIL, n)]
    change, sides = view.values[deepest], of.sides[view.name][:, deepest]
    shades = view.scale.at(change)
    texts, roles = of["token_text"], of["role"]
    found = []
    for column in shown:
        kind, text = int(of.kind[column]), str(texts[column])
        places = [
            f"{name} {int(at[column]):,}: {_nats(values[column])}"
            for name, at, values in zip("AB", (of.at_a, of.at_b), sides, strict=True)
            if at[column] >= 0
        ]
        there = np.isfinite(change[column])
        said = [f"B − A = {_number(change[column], '+')} nats"] if there else []
        found.append({
            "side": ("", "del", "ins")[kind],
            "role": str(roles[column]),
            "shade": f"s{min(SHADES - 1, int(shades[column] * SHADES))}" if there else "missing",
            "text": flowing(text) if text.strip() else visible(text),
            "title": "; ".join([*([_ALONE[kind]] if kind else []), *places, *said]),
        })  # fmt: skip
    if n > _MOST_TOKENS:
        folded = f"… {n - _HEAD - _TAIL:,} tokens …"
        fold = {"side": "", "role": "folded", "shade": "", "text": folded, "title": folded}
        found.insert(_HEAD, fold)
    return found


def _nats(value: float) -> str:
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _absent(of: Difference) -> str:
    """Which view is of one side alone."""
    names = {"lens": "lens_entropy", "attention": "entropy"}
    alone = [
        f"{view} ({'A' if name in of.a else 'B'} alone holds it)"
        for view, name in names.items()
        if view not in of.sides and (name in of.a or name in of.b)
    ]
    return f"Not compared: {'; '.join(alone)}." if alone else ""


def _by_layer(of: Difference, rows: Sequence[str]) -> dict[str, Any]:
    """Means of each layer over the positions of both: A, B and B − A of every view."""
    means = {view: by_layer(of, view) for view in of.sides}
    return {
        "views": list(means),
        "n": ", ".join(f"{int(m.n.max()):,} positions of {view}" for view, m in means.items()),
        "rows": [
            {
                "label": label,
                "cells": [
                    (_number(m.a[i]), _number(m.b[i]), _number(m.change[i], "+"))
                    for m in means.values()
                ],
            }
            for i, label in reversed(list(enumerate(rows)))
        ],
    }


def _number(value: float, sign: str = "") -> str:
    if not np.isfinite(value):
        return "missing"
    return f"{value:{sign}.3f}".replace("-", "−")


def _provenances(of: Difference) -> Iterator[dict[str, Any]]:
    """What the traces say of their making, entry by entry, and whether they say the same."""
    sides = [
        {"file": name} | dict(_entries(dict(t.attrs)))
        for name, t in zip(of.names, of.traces, strict=True)
    ]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(name, "not recorded") for side in sides]
        yield {
            "name": named(name, _MOST_NAME),
            "values": [named(value, _MOST_VALUE) for value in values],
            "differs": values[0] != values[1],
        }


def _entries(attrs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for section in ("model", "tokenizer", "prompt", "answer", "implementation", "versions",
                    "options", "notes"):  # fmt: skip
        value = attrs.get(section)
        if isinstance(value, dict):
            for key, item in value.items():
                if item is not None:
                    yield f"{section}: {key}", str(item)
        elif isinstance(value, list):
            yield section, "; ".join(str(item) for item in value) or "none"
        elif value is not None:
            yield section, str(value)
