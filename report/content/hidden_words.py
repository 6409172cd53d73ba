"""The columns of hidden sources for each word of the answer that has any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.hidden_sources import (
    MOST,
    HiddenColumn,
    HiddenWord,
    short_name,
    words_of_band,
)
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import Effect, Sources, TestedWord
from attentropy.report.text import cut

_WORD = 12  # letters of the word in the title


def hidden_words(trace: Trace, layers: Sequence[str]) -> dict[int, HiddenWord]:
    """Return the columns by the index of the word; `layers` are the names of the rows."""
    sources = read_sources(trace)
    if sources is None:
        return {}
    own = {word.index: _hidden_word(word, layers) for word in sources.words}
    return {index: word for index, word in own.items() if word.columns}


def main_word(trace: Trace, words: dict[int, HiddenWord]) -> HiddenWord | None:
    """Return the word whose columns the figure opens with."""
    return _opening(read_sources(trace), words)


def strip_words(sources: Sources | None, words: Mapping[int, HiddenWord]) -> str:
    """Return what the strip of layers shows, on a page that is too narrow for columns."""
    word = _opening(sources, words)
    if word is None:
        return ""
    has_gaps = any(None in column.probabilities for column in word.columns)
    return (
        f"{word.title.replace(chr(10), ' ')}, layers from left to right. Green: at least half of "
        f"it is left; frame: the layers that read the source{'; hatched: not tested' * has_gaps}."
    )


def columns_sentence(sources: Sources | None) -> str:
    """Return what the columns next to the section are, after a blank; empty where it has none."""
    words = sources.words if sources else ()
    own = [one for word in words for one in word.sources if one.has_layers]
    if not own:
        return ""
    has_gaps = any(np.isnan(one.from_layer).any() for one in own)
    return (
        " Right: the word's probability when a source is hidden from this layer on; green: at "
        "least half of it is left; frame: the layers that read the source"
        f"{'; hatched: layers not tested' if has_gaps else ''}."
    )


def _opening(sources: Sources | None, words: Mapping[int, HiddenWord]) -> HiddenWord | None:
    if sources is None or not words:
        return None
    return words.get(sources.main.index, next(iter(words.values())))


def count_columns(words: dict[int, HiddenWord]) -> int:
    """Return how many columns the figure needs at most."""
    return max((len(word.columns) for word in words.values()), default=0)


def _hidden_word(word: TestedWord, layers: Sequence[str]) -> HiddenWord:
    columns = [_column(word, one, layers) for one in word.sources if one.has_layers][:MOST]
    title = f"p({cut(word.text, _WORD)}) if hidden\nfrom this layer on"
    return HiddenWord(title, word.probability, tuple(columns))


def _column(word: TestedWord, effect: Effect, layers: Sequence[str]) -> HiddenColumn:
    values = tuple(
        round(word.changed(value), 4) if np.isfinite(value) else None for value in effect.from_layer
    )
    note = words_of_band(effect.reads, layers)
    return HiddenColumn(short_name(effect.span.name), note, values, effect.reads, effect.span.name)
