"""What the page's script knows of sources: words, spans, effects, and the figure's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from attentropy.engine.sources.labels import HALF
from attentropy.report.content.hidden_words import columns_sentence
from attentropy.report.content.source_words import rests_on, span_name
from attentropy.report.figures.hidden_sources import HiddenWord, amount
from attentropy.report.figures.sizes import HIDDEN, HIDDEN_GAP
from attentropy.report.read.tested_words import Effect, Sources, TestedWord
from attentropy.report.text import cut

_SHORT = 14  # columns of a short name
_MOST_EFFECTS = 20_000  # numbers; beyond that the page has those of the decisive words alone


class ColumnFacts(TypedDict):
    """A column of the figure; see `HiddenColumn`."""

    name: str
    note: str
    probabilities: list[float | None]
    texts: list[str]
    band: tuple[int, int] | None


class HiddenFacts(TypedDict):
    """The columns of a word; see `HiddenWord`."""

    title: str
    probability: float
    columns: list[ColumnFacts]


class WordFacts(TypedDict):
    """A word: its tokens [from, to), its effects by span, its sources' numbers of spans.

    `says` is a sentence about it, `most` the largest effect, `template` that of all template
    tokens; None: not tested.
    """

    at: tuple[int, int]
    says: str
    most: float
    effects: list[float | None]
    template: float | None
    sources: list[int]
    hidden: HiddenFacts | None


class SpanFacts(TypedDict):
    """A span: its tokens [from, to), its name in a sentence, and a short one.

    `sink`: it cannot be hidden.
    """

    at: tuple[int, int]
    name: str
    short: str
    sink: bool


class SourceFacts(TypedDict):
    """Everything about sources; `main` is the number of the word that the page opens with.

    `column` is the width of a column next to the figure and of its gap, `caption` a sentence about
    the columns.
    """

    main: int
    words: list[WordFacts]
    spans: list[SpanFacts]
    column: tuple[int, int]
    caption: str


def source_facts(
    sources: Sources | None, hidden: Mapping[int, HiddenWord]
) -> SourceFacts | None:  # fmt: skip
    """Return what the script knows of sources; None where nothing was tested."""
    if sources is None:
        return None
    has_all = len(sources.words) * len(sources.spans) <= _MOST_EFFECTS
    words = sources.words if has_all else sources.decisive
    if sources.main not in words:
        words = (sources.main, *words)
    return {
        "main": words.index(sources.main),
        "words": [_word(word, hidden.get(word.index)) for word in words],
        "spans": [
            {
                "at": (s.start, s.stop),
                "name": span_name(s),
                "short": cut(s.name, _SHORT),
                "sink": s.is_sink,
            }
            for s in sources.spans
        ],
        "column": (HIDDEN, HIDDEN_GAP),
        "caption": columns_sentence(sources),
    }


def _word(word: TestedWord, hidden: HiddenWord | None) -> WordFacts:
    shown = [_shown(effect) for effect in word.effects]
    sizes = [abs(value) for value in shown if value is not None]
    return {
        "at": (word.start, word.stop),
        "says": f"{rests_on(word)}.",
        "most": max([round(HALF, 3), *sizes]),
        "effects": shown,
        "template": _number(word.template),
        "sources": [effect.span.index for effect in word.sources],
        "hidden": None if hidden is None else _hidden(hidden),
    }


def _shown(effect: Effect) -> float | None:
    return None if effect.label in ("not tested", "sink") else _number(effect.hidden)


def _number(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None


def _hidden(word: HiddenWord) -> HiddenFacts:
    return {
        "title": word.title,
        "probability": word.probability,
        "columns": [
            {
                "name": column.name,
                "note": column.note,
                "probabilities": list(column.probabilities),
                "texts": [amount(p) if p is not None else "" for p in column.probabilities],
                "band": column.band,
            }
            for column in word.columns
        ],
    }
