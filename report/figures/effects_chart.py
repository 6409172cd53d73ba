"""What hiding each part of the prompt does to the decisive words, with the control intervals."""

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
from attentropy.report.read.tested_words import Effect, Sources, TestedWord, cut
from attentropy.report.units import probability

WIDE, NARROW = 860, 330  # pixels of the whole chart
_ROW = 19  # pixels
_MOST_WORDS, _MOST_SPANS = 4, 12
_LETTER = 6.3  # pixels of a letter of a label


def effects_chart(sources: Sources, width: int) -> VegaLite:
    """Return the chart for `width` pixels: a group of rows for each decisive word.

    Dot: hidden with its copies; ring: hidden alone; diamond: hidden from the prompt too; bar: the
    control.
    """
    names = min(260, int(width * 0.38))
    effects, headings, labels = _rows(sources, int(names / _LETTER))
    height = _ROW * (len(effects) + len(headings))
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
    )  # fmt: skip
    chart = layer(*marks, width=width - names - 30, height=height)
    return specification(
        {**chart, "autosize": {"type": "pad", "contains": "padding"}}, dict(LIGHT),
        {"one": [{"o": 1}], "effects": effects, "effectnames": labels, "effectwords": headings},
        {"left": 2, "right": 10, "top": 4, "bottom": 2},
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
    """Return the words that chart and tables have: the headline's, then the other decisive ones."""
    others = [word for word in sources.decisive if word is not sources.main]
    return [sources.main, *others][:_MOST_WORDS]


def by_strength(word: TestedWord) -> list[Effect]:
    """Return the effects on a word, the largest first; those not tested last."""
    return sorted(
        word.effects,
        key=lambda one: (-abs(one.hidden) if np.isfinite(one.hidden) else 1.0, one.span.index),
    )


def _rows(sources: Sources, letters: int) -> tuple[Rows, Rows, Rows]:
    effects: Rows = []
    headings: Rows = []
    labels: Rows = []
    y = 0.0
    for word in shown_words(sources):
        title = f"“{cut(word.text, letters - 8)}” {probability(word.probability)}"
        headings.append({"y": y + 0.5, "text": title})
        y += 1
        tested = (one for one in by_strength(word) if np.isfinite(one.hidden))
        for row in _of_word(tested):
            effects.append({"y": y + 0.5, **row})
            labels.append({"y": y + 0.5, "text": cut(row["name"], letters)})
            effects[-1].pop("name")
            y += 1
    return effects, headings, labels


def _of_word(effects: Iterator[Effect]) -> Iterator[dict[str, Any]]:
    for _, one in zip(range(_MOST_SPANS), effects, strict=False):
        values = {
            "hidden": one.hidden, "alone": one.alone if one.has_copies else np.nan,
            "total": one.total, "low": one.low, "high": one.high,
        }  # fmt: skip
        kind = (
            "source"
            if one.is_source
            else "against"
            if one.label == "works against the word"
            else ""
        )
        yield {
            "name": one.span.name, "kind": kind,
            **{n: round(v, 4) if np.isfinite(v) else None for n, v in values.items()},
        }  # fmt: skip


def _domain(effects: Rows) -> list[float]:
    values = [
        row[name] for row in effects for name in ("hidden", "alone", "total", "low", "high")
        if row[name] is not None
    ]  # fmt: skip
    return [min([-1.0, *values]), max([0.5, *values])]
