"""What hiding each part of the prompt does to the decisive words, with the control intervals.

A group of rows for each word, and one for the whole answer where it was compared with another text.
Below each stands what has no row of its own: weak effects, and parts that were not tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np

from attentropy.report.figures.marks import GREEN, INK, MUTED, PURPLE, SPECK, dataset, text_mark
from attentropy.report.figures.specification import (
    Rows,
    VegaLite,
    axis_style,
    layer,
    specification,
)
from attentropy.report.palette import LIGHT
from attentropy.report.read.tested_words import Effect, Sources, TestedSpan, TestedWord
from attentropy.report.text import cut
from attentropy.report.units import count, probability

WIDE, NARROW = 860, 330  # pixels of the whole chart
_ROW = 19  # pixels
_MOST_WORDS, _MOST_SPANS = 4, 12
_FEWEST_SPANS = 5  # rows of a word, weak effects among them
_WEAK = 0.1  # nats
_LETTER = 6.3  # pixels of a letter of a label


def effects_chart(sources: Sources, width: int) -> VegaLite:
    """Return the chart for `width` pixels: a group of rows for each decisive word.

    Dot: hidden with its copies; ring: hidden alone; diamond: hidden from the prompt too; bars: the
    control of the first two, and, only outlined, of the third.
    """
    names = min(260, int(width * 0.38))
    effects, headings, labels, notes = _rows(sources, int(names / _LETTER))
    height = _ROW * (len(effects) + len(headings) + len(notes))
    y = alt.Y(
        "y:Q", axis=None, scale=alt.Scale(domain=[0, height / _ROW], nice=False, reverse=True)
    )
    axis = alt.Axis(
        title="change of ln p when hidden (nats)", grid=True, tickCount=max(3, width // 140),
        **axis_style(labelFontSize=11),
    )  # fmt: skip
    scale = alt.Scale(domain=_domain(effects), nice=True)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", scale=scale, axis=axis)

    kind: dict[str, Any] = {
        "scale": None,
        "condition": [
            {"test": "datum.kind == 'source'", "value": GREEN},
            {"test": "datum.kind == 'against'", "value": PURPLE},
            {"test": "true", "value": MUTED},
        ],
    }
    base = dataset("effects")
    marks = (
        dataset("one").mark_rule(color=INK, strokeWidth=1).encode(x=alt.XDatum(0, scale=scale)),
        base.transform_filter("isValid(datum.low)")
        .mark_bar(color=SPECK, opacity=0.55, height=9)
        .encode(x=x("low"), x2=alt.X2("high"), y=y),
        base.transform_filter("isValid(datum.totallow)")
        .mark_bar(filled=False, stroke=MUTED, fillOpacity=0, strokeWidth=1, height=13)
        .encode(x=x("totallow"), x2=alt.X2("totalhigh"), y=y),
        _points(base, "total", y, x, kind, shape="diamond", filled=False, size=46),
        _points(base, "alone", y, x, kind, shape="circle", filled=False, size=44),
        _points(base, "hidden", y, x, kind, shape="circle", filled=True, size=60, opacity=1),
        text_mark(
            "effectnames", x=alt.XValue(-8), y=y, align="right", baseline="middle", fontSize=11
        ),
        text_mark(
            "effectwords", x=alt.XValue(-8), y=y, align="right", baseline="middle", fontSize=12,
            fontWeight="bold",
        ),
        text_mark(
            "effectnotes", x=alt.XValue(-8), y=y, color="muted", align="right", baseline="middle",
            fontSize=11, fontStyle="italic",
        ),
    )  # fmt: skip
    chart = layer(*marks, width=width - names - 30, height=height)
    return specification(
        {**chart, "autosize": {"type": "pad", "contains": "padding"}}, dict(LIGHT),
        {"one": [{"o": 1}], "effects": effects, "effectnames": labels, "effectwords": headings,
         "effectnotes": notes},
        {"left": 8, "right": 10, "top": 4, "bottom": 2},
    )  # fmt: skip


def _points(
    base: alt.Chart, field: str, y: alt.Y, x: Any, kind: dict[str, Any], **mark: Any
) -> alt.Chart:
    chart: alt.Chart = (
        base.transform_filter(f"isValid(datum.{field})")
        .mark_point(strokeWidth=1.5, **mark)
        .encode(x=x(field), y=y, color=alt.Color("kind:N", **kind))
    )
    return chart


def shown_words(sources: Sources) -> Sequence[TestedWord]:
    """Return the words that chart and tables have: the headline's, then those that have sources."""
    others = [word for word in sources.decisive if word is not sources.main]
    return [sources.main, *sorted(others, key=lambda word: not word.sources)][:_MOST_WORDS]


def by_strength(word: TestedWord) -> list[Effect]:
    """Return the effects on a word: sources, then the others, the largest first; untested last."""
    return sorted(
        word.effects,
        key=lambda one: (
            not one.is_source, -abs(one.hidden) if np.isfinite(one.hidden) else 1.0, one.span.index
        ),
    )  # fmt: skip


def _rows(sources: Sources, letters: int) -> tuple[Rows, Rows, Rows, Rows]:
    """Return the rows of effects, of the words above them, of names, and of notes below them."""
    effects: Rows = []
    headings: Rows = []
    labels: Rows = []
    notes: Rows = []
    y = 0.0
    for title, rows, rest in _groups(sources, letters):
        headings.append({"y": y + 0.5, "text": title})
        for row in rows:
            y += 1
            labels.append({"y": y + 0.5, "text": cut(row.pop("name"), letters)})
            effects.append({"y": y + 0.5, **row})
        y += 1
        for note in rest:
            notes.append({"y": y + 0.5, "text": note})
            y += 1
    return effects, headings, labels, notes


def _groups(sources: Sources, letters: int) -> Iterator[tuple[str, Rows, list[str]]]:
    """Yield the title of each group, its rows, and notes on what has no row."""
    for word in shown_words(sources):
        title = f"“{cut(word.text, letters - 8)}” {probability(word.probability)}"
        ordered = by_strength(word)
        tested = [one for one in ordered if np.isfinite(one.hidden)]
        shown = [one for i, one in enumerate(tested) if i < _FEWEST_SPANS or _is_strong(one)]
        shown = shown[:_MOST_SPANS]
        sinks = sum(one.span.is_sink for one in ordered if one not in tested)
        yield (
            title,
            [_row(one) for one in shown],
            _notes(len(tested) - len(shown), len(ordered) - len(tested) - sinks),
        )
    if sources.versus:
        own = [span for span in sources.spans if np.isfinite(span.versus)]
        own.sort(key=lambda span: -abs(span.versus))
        shown_spans = own[:_FEWEST_SPANS]
        rows = [
            {**_no_values(_label(span)), "hidden": round(span.versus, 4)} for span in shown_spans
        ]  # fmt: skip
        yield (
            cut(f"answer − “{sources.versus}”", letters), rows, _notes(len(own) - len(rows), 0),
        )  # fmt: skip


def _is_strong(one: Effect) -> bool:
    values = [abs(value) for value in (one.hidden, one.alone, one.total) if np.isfinite(value)]
    return one.is_source or max(values) >= _WEAK


def _notes(weaker: int, untested: int) -> list[str]:
    """Return how many parts have no row; nothing for none."""
    texts = [count(weaker, "weaker part")] if weaker else []
    texts += [f"{untested:,} not tested"] if untested else []
    return [", ".join(texts)] if texts else []


def _label(span: TestedSpan) -> str:
    """Return a name for a row: a pilcrow stands for "paragraph", so that more of its text fits."""
    return span.title.replace("paragraph: ", "¶ ", 1) if span.level == "paragraph" else span.title


_VALUES = ("hidden", "alone", "total", "low", "high", "totallow", "totalhigh")


def _no_values(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "", **dict.fromkeys(_VALUES)}


def _row(one: Effect) -> dict[str, Any]:
    alone = one.alone if one.has_copies else np.nan
    values = (one.hidden, alone, one.total, one.low, one.high, one.total_low, one.total_high)
    kind = "against" if one.label == "works against the word" else ""
    return {
        "name": _label(one.span), "kind": "source" if one.is_source else kind,
        **{n: round(v, 4) if np.isfinite(v) else None
           for n, v in zip(_VALUES, values, strict=True)},
    }  # fmt: skip


def _domain(effects: Rows) -> list[float]:
    values = [
        row[name] for row in effects for name in _VALUES
        if row[name] is not None
    ]  # fmt: skip
    return [min([-1.0, *values]), max([0.5, *values])]
