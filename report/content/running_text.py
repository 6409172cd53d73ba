"""Prompt and answer as one running text: words with their tokens, chips for turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.engine.trace.units import word_starts
from attentropy.report.content.directions import words_direction
from attentropy.report.content.token_words import token_words
from attentropy.report.content.words import RunningText, Stretch, TextWord, TokenWord
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.characters import character_starts
from attentropy.report.read.generated_tokens import token_probabilities
from attentropy.report.read.turns import WORDS, Turn, turns
from attentropy.report.read.views import View
from attentropy.report.read.visible import run_progress
from attentropy.report.scale import Scale
from attentropy.report.text import for_prompt, has_letter, mark_whitespace, width
from attentropy.report.units import count, probability

SHADES = 32  # steps of the scale that have a class of their own
_ALL = 3000  # tokens up to which the text is in the page as a whole
_HEAD, _TAIL = 200, 300  # tokens of a longer one that can be read without scripts
_WORD = 256  # tokens: what is longer, such as base64, is no word
_SHORT = 300  # letters that fit into some two lines
_CHIP = 14  # letters that a chip takes
_NUMBER = 5  # letters that a probability below a word takes
_MOST_IN_CHIPS = 1000  # tokens in the chips of a short text


def running_text(trace: Trace, views: Sequence[View]) -> RunningText:
    """Return prompt and answer; `views` are those of the page, whose first one gives the colours.

    Where that view has no value, the second one does.
    """
    parts = turns(trace)
    is_long = _letters(trace, parts) > _SHORT or _hidden(parts) > _MOST_IN_CHIPS
    n = len(trace.tokens)
    words = _Words(trace, views)
    spans = [(0, n)] if n <= _ALL else [words.span(0, _HEAD), words.span(n - _TAIL, n)]
    stretches: list[Stretch] = []
    for i, (start, stop) in enumerate(spans):
        if i:
            left_out = start - spans[i - 1][1]
            label = f"… {count(left_out, 'token')} more can be read where scripts run …"
            stretches.append(Stretch("gap", label, "ltr", []))
        stretches += _stretches(trace, parts, words, start, stop)
    ways = [s.direction for s in stretches if s.kind != "chip" and s.words]
    return RunningText(ways[0] if ways else "ltr", is_long, stretches)


def deepest_layer(view: View) -> int:
    """Return the last layer with a value; the last of all where none has one."""
    measured = np.flatnonzero(np.isfinite(view.values).any(1))
    return int(measured[-1]) if measured.size else len(view.values) - 1


def shade(value: float, scale: Scale) -> str:
    """Return the CSS class of a value's colour."""
    if not np.isfinite(value):
        return "missing"
    return f"s{min(SHADES - 1, int(float(scale.at(value)) * SHADES))}"


def _stretches(
    trace: Trace, parts: Sequence[Turn], words: _Words, start: int, stop: int
) -> list[Stretch]:
    """Return the turns as far as they lie within start … stop−1."""
    stretches = []
    prompt = trace.prompt_tokens
    for turn in parts:
        first, last = max(turn.start, start), min(turn.stop, stop)
        if first >= last:
            continue
        own = words.between(first, last)
        kind = "words" if turn.kind == WORDS else "chip"
        way = words_direction(own)
        begins = first == prompt and prompt < len(trace.tokens) and prompt > 0
        stretches.append(Stretch(kind, turn.label, way, own, begins_answer=begins))
    return stretches


def _letters(trace: Trace, parts: Sequence[Turn]) -> int:
    """Return about how many letters the text takes, words of the answer with their numbers."""
    texts, total = trace.tokens, 0
    for turn in parts:
        if turn.kind != WORDS:
            total += _CHIP
            continue
        least = _NUMBER if turn.start >= trace.prompt_tokens else 0
        for position in range(turn.start, turn.stop):
            total += max(width(texts[position][:_SHORT]), least)
            if total > _SHORT:
                return total
    return total


def _hidden(parts: Sequence[Turn]) -> int:
    """Return how many tokens the chips have."""
    return sum(turn.stop - turn.start for turn in parts if turn.kind != WORDS)


@dataclass(frozen=True)
class _Colours:
    """Values of one row of a view, with their scale and their name."""

    values: np.ndarray
    scale: Scale
    what: str


class _Words:
    """The words of a trace, with colours and tooltips."""

    def __init__(self, trace: Trace, views: Sequence[View]) -> None:
        self._trace = trace
        self._texts, self._roles = trace.tokens, trace.roles
        self._colours = [
            _Colours(view.values[deepest_layer(view)], view.scale, view.what) for view in views[:2]
        ]
        self._word_titles = token_words(trace, self._colours[0].values)
        self._starts = np.ones(len(self._texts), bool) if is_redacted(trace) else word_starts(trace)
        self._characters = character_starts(trace)
        self._surprisals = (
            -trace[TOKEN_LOGPROB] if TOKEN_LOGPROB in trace else np.full(len(self._texts), np.nan)
        )
        self._probabilities = token_probabilities(trace)
        self._why_missing = _why_missing(trace, views[0])
        answer = read_answer(trace)
        decisive = answer.decisive if answer is not None else None
        self._decisive = (
            range(decisive.position, decisive.position + decisive.tokens) if decisive else range(0)
        )

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the same span, moved so that it cuts no word of at most `_WORD` tokens."""
        n = len(self._texts)
        first, last = max(0, start - _WORD), min(n, stop + _WORD)
        while first < start < n and not self._starts[start]:
            start -= 1
        while stop < last and not self._starts[stop]:
            stop += 1
        return start, stop

    def between(self, start: int, stop: int) -> list[TextWord]:
        """Return the words of the tokens start … stop−1."""
        edges = [start, *(i for i in range(start + 1, stop) if self._starts[i]), stop]
        return [self._word(a, b) for a, b in pairwise(edges)]

    def _word(self, start: int, stop: int) -> TextWord:
        edges = [start, *(i for i in range(start + 1, stop) if self._characters[i]), stop]
        tokens = [self._token(a, b) for a, b in pairwise(edges)]
        display = tokens[0].text
        lead = display[: len(display) - len(display.lstrip(" "))]
        tokens[0] = replace(tokens[0], text=display[len(lead) :])
        first = start - self._trace.prompt_tokens
        own = self._probabilities[first : first + stop - start] if first >= 0 else np.zeros(0)
        is_known = own.size == stop - start and any(map(has_letter, self._texts[start:stop]))
        is_decisive = start in self._decisive
        number = _short_probability(float(own.prod()), is_decisive) if is_known else ""
        return TextWord(tokens, lead, number, is_decisive=is_decisive)

    def _token(self, start: int, stop: int) -> TokenWord:
        """Return a token, or a character of several tokens with the mean of their values."""
        text, role = self._texts[start], self._roles[start]
        where = f"position {start:,}"
        if stop - start > 1:
            where = f"positions {start:,} to {stop - 1:,} (one character of {stop - start} tokens)"
        name, value = self._value(start, stop)
        surprisal = float(self._surprisals[start:stop].sum())
        sure = f", surprisal {surprisal:.2f} nats" if np.isfinite(surprisal) else ""
        return TokenWord(
            text=mark_whitespace(text) if text.strip() == "" else for_prompt(text),
            role=role,
            shade=name,
            title=f"{where}, {role}: {value}{sure}{self._word_titles(start)}",
            position=start,
            tokens=stop - start,
        )

    def _value(self, start: int, stop: int) -> tuple[str, str]:
        """Return the colour class of a token, and its value in words."""
        for i, colours in enumerate(self._colours):
            own = colours.values[start:stop]
            own = own[np.isfinite(own)]
            if own.size:
                value = float(own.mean())
                mean = "mean " if stop - start > 1 else ""
                name = shade(value, colours.scale)
                if not i:
                    return name, f"{mean}{value:.2f} nats"
                why = self._why_missing(start)
                return f"{name} other", f"{mean}{colours.what} {value:.2f} nats ({why})"
        return "missing", f"missing ({self._why_missing(start)})"


def _why_missing(trace: Trace, view: View) -> Callable[[int], str]:
    """Return a function that says why a position has no value in a view."""
    progress = run_progress(trace)

    def why(position: int) -> str:
        if progress is not None and position >= progress["done"]:
            return f"the run stopped after {count(progress['done'], 'token')}"
        return "the lens did not read this position" if view.name == "lens" else "not measured"

    return why


def has_broken_characters(text: RunningText) -> bool:
    """Return whether some character of the text is more than one token."""
    words = (word for stretch in text.stretches for word in stretch.words)
    return any(token.tokens > 1 for word in words for token in word.tokens)


def _short_probability(value: float, is_decisive: bool) -> str:
    """Return the probability of a word as it stands below it, whole for the decisive word alone."""
    return "> 0.99" if value >= 0.995 and not is_decisive else probability(value)
