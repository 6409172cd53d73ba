"""What the words of an answer rest on: the trace's group `sources` as plain facts.

A span of the prompt was hidden from the answer, and the answer's words were read again. Effects are
changes of ln p of a word, in nats; NaN where a span was not tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

from attentropy.engine.sources.labels import BAND
from attentropy.engine.trace.content_words import bare_word, content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.sources import LABELS
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.tested_words import (
    Effect,
    Sources,
    TestedSpan,
    TestedWord,
)
from attentropy.report.text import cut, for_sentence
from attentropy.report.units import count

_UNTESTED = LABELS.index("not tested")
_LETTERS = 200  # of the text of a span


@once_per_trace
def read_sources(trace: Trace) -> Sources | None:
    """Return what hiding parts of the prompt did to the answer; None where it was not tested."""
    group = trace.sources
    if group is None or not group.sizes.get("word"):
        return None
    spans = _spans(trace, group)
    reader = _Words(trace, group, spans)
    words = tuple(reader.word(i) for i in range(group.sizes["word"]))
    return Sources(words, spans, _main(trace, words), dict(group.attrs))


def _spans(trace: Trace, group: xr.Dataset) -> tuple[TestedSpan, ...]:
    names = ("span_level", "span_role", "span_id")
    versus = _variable(group, "effect_versus", group.sizes["span"])
    starts, stops = (group[name].values for name in ("span_start", "span_stop"))
    levels, roles, ids = ([str(text) for text in group[name].values] for name in names)
    draws = _variable(group, "control_draws", len(starts))
    masses = _variable(group, "attention_mass", len(starts))
    copies = _copies(trace)
    # A name that several segments share says nothing: their texts stand for them.
    segments = Counter(i for i, level in zip(ids, levels, strict=True) if level == "segment")
    ids = [own if segments[own] < 2 else "" for own in ids]
    return tuple(
        TestedSpan(
            i, int(start), int(stop), levels[i], roles[i], cut(for_sentence(ids[i]), 60),
            _span_text(trace, int(start), int(stop), roles[i]),
            int(draws[i]) if np.isfinite(draws[i]) else 0, float(masses[i]),
            copies(int(start), int(stop)), float(versus[i]),
        )
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True))
    )  # fmt: skip


def _copies(trace: Trace) -> Callable[[int, int], tuple[int, ...]]:
    """Return a function that finds the positions of the answer that restate words of a span."""
    prompt, keys = trace.prompt_tokens, content_keys(trace.tokens, trace.roles)
    places: dict[str, list[int]] = {}
    for position in range(prompt, len(keys)):
        if keys[position] and not is_redacted(trace):
            places.setdefault(keys[position], []).append(position)

    def find(start: int, stop: int) -> tuple[int, ...]:
        own = {key for key in keys[start:stop] if key}
        return tuple(sorted(position for key in own for position in places.get(key, ())))

    return find


def _span_text(trace: Trace, start: int, stop: int, role: str) -> str:
    """Return the text of a span; of a redacted trace its role and its length."""
    if is_redacted(trace):
        return f"{role or 'span'} at position {start:,} ({count(stop - start, 'token')})"
    text = " ".join("".join(trace.tokens[start:stop]).split())
    return for_sentence(text if " " in text else bare_word(text) or text, _LETTERS)


def _variable(group: xr.Dataset, name: str, *shape: int) -> np.ndarray:
    """Return a variable in float64, missing values where the group lacks it."""
    if name not in group:
        return np.full(shape, np.nan)
    return np.asarray(group[name].values, np.float64)


class _Words:
    """The words of a group, read one by one."""

    def __init__(self, trace: Trace, group: xr.Dataset, spans: Sequence[TestedSpan]) -> None:
        self._trace, self._group, self._spans = trace, group, spans
        self._entries = _layers(trace, group)

    def word(self, index: int) -> TestedWord:
        """Return a word with the effects of all spans on it: sums over its tokens."""
        trace, group = self._trace, self._group
        first, last = int(group["word_start"][index]), int(group["word_stop"][index])
        steps = slice(first, last)
        start, text = self._place(steps)
        logprob, template, evidence = (
            float(self._sums(name, steps))
            for name in ("logprob", "effect_template", "effect_all_evidence")
        )
        shown = text.strip() if is_redacted(trace) else bare_word(text)
        return TestedWord(
            index=index,
            start=start,
            stop=start + last - first if start >= 0 else start,
            text=for_sentence(shown, 60),
            is_decisive=bool(group["word_decisive"][index]),
            logprob=logprob,
            template=template,
            evidence=evidence,
            effects=tuple(self._effects(index, steps)),
        )

    def _place(self, steps: slice) -> tuple[int, str]:
        """Return where a word is in the trace, and its text.

        A text that the model did not write is not in the trace: it stands at no position, before 0.
        """
        trace, group = self._trace, self._group
        start = trace.prompt_tokens + steps.start
        if "step_position" in group:
            start = int(group["step_position"][steps.start])
        if "step_text" in group:
            return start, "".join(str(text) for text in group["step_text"].values[steps])
        return start, "".join(trace.tokens[start : start + steps.stop - steps.start])

    def _sums(self, name: str, steps: slice, *shape: int) -> np.ndarray:
        values = _variable(self._group, name, *shape, self._group.sizes["step"])
        return np.asarray(values[..., steps].sum(-1))

    def _effects(self, index: int, steps: slice) -> Iterator[Effect]:
        group, many = self._group, len(self._spans)
        hidden, alone, copies, total, removed, enough = (
            self._sums(f"effect_{name}", steps, many)
            for name in ("with_copies", "direct", "copies", "total", "remove", "sufficient")
        )
        for other in (alone, removed):
            hidden = np.where(np.isfinite(hidden), hidden, other)
        low, high, total_low, total_high = (
            _variable(group, f"control_{end}", many, group.sizes["word"])[:, index]
            for end in ("low", "high", "total_low", "total_high")
        )
        labels = group["label"].values[:, index]
        from_layer = self._sums("effect_from_layer", steps, many, len(self._entries))
        for i, span in enumerate(self._spans):
            label = LABELS[labels[i]] if 0 <= labels[i] < len(LABELS) else LABELS[_UNTESTED]
            own = from_layer[i] if len(from_layer[i]) == len(self._entries) else np.zeros(0)
            yield Effect(
                span, label, float(hidden[i]), float(alone[i]), float(copies[i]), float(total[i]),
                float(removed[i]), float(low[i]), float(high[i]), float(total_low[i]),
                float(total_high[i]), float(enough[i]), _by_entry(self._trace, self._entries, own),
                _band(self._entries, own, float(hidden[i])),
            )  # fmt: skip


def _layers(trace: Trace, group: xr.Dataset) -> list[int]:
    """Return the entry along the trace's `layer` of each layer of the group; −1 for none."""
    numbers = trace["layer"]
    calls = trace["call"] if "call" in trace else np.zeros(len(numbers), int)
    first = {
        int(number): entry for entry, number in reversed(list(enumerate(numbers)))
        if not calls[entry]
    }  # fmt: skip
    if "layer" in group.coords:
        return [first.get(int(number), -1) for number in group["layer"].values]
    own = sorted(first.values())
    return own if len(own) == group.sizes.get("layer") else []


def _by_entry(trace: Trace, entries: Sequence[int], values: np.ndarray) -> tuple[float, ...]:
    """Return values of the group's layers by the trace's entries; nothing where none is known."""
    if not np.isfinite(values).any():
        return ()
    own = np.full(trace.dataset.sizes["layer"], np.nan)
    for entry, value in zip(entries, values, strict=True):
        if entry >= 0:
            own[entry] = value
    return tuple(own.tolist())


def _band(entries: Sequence[int], values: np.ndarray, effect: float) -> tuple[int, int] | None:
    """Return the layers in which a source is read, by what hiding it from each layer on does.

    From the first one on it has still 80 % of its effect, after the last one less than 20 %. None
    where the layer after either end was not tested, or where hiding it from the first layer on has
    no such effect.
    """
    if not effect < 0:
        return None
    finite = np.flatnonzero(np.isfinite(values))
    shares = values[finite] / effect
    strong = finite[np.logical_and.accumulate(shares >= BAND[0])]
    lost = finite[shares >= BAND[1]]
    if not strong.size or not all(end in finite or end == values.size for end in
                                  (strong[-1] + 1, lost[-1] + 1)):  # fmt: skip
        return None
    ends = entries[strong[-1]], entries[lost[-1]]
    return ends if min(ends) >= 0 else None


def _main(trace: Trace, words: Sequence[TestedWord]) -> TestedWord:
    """Return the headline's word, else the first decisive one, else the first."""
    answer = read_answer(trace)
    if answer is not None and answer.decisive is not None:
        for word in words:
            if word.is_decisive and word.start <= answer.decisive.position < word.stop:
                return word
    return next((word for word in words if word.is_decisive), words[0])
