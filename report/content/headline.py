"""The headline of a page: the answer, with its decisive word and that word's probability."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attentropy.engine.trace.dataset import Trace
from attentropy.report.read.answer_words import Answer, Decisive, read_answer, source_of
from attentropy.report.text import for_sentence, for_terminal
from attentropy.report.units import probability

_LETTERS = 160  # of the answer
_BREAKS = re.compile(r"\s*\n\s*")
_BEFORE = 60  # of them before a decisive word that stands far behind


@dataclass(frozen=True)
class Headline:
    """What the model wrote: `before`, the decisive `word` and `after` are parts of its text.

    lead: who says it, and how. `word` is empty where none is marked; `probability` is the word's,
    `note` says where it stands.
    """

    lead: str
    before: str
    word: str
    after: str
    probability: str
    note: str


def headline(trace: Trace) -> Headline | None:
    """Return the headline of a trace; None where it has no answer."""
    answer = read_answer(trace)
    if answer is None:
        return None
    model = trace.attrs.get("model", {})
    name = for_sentence(str(model.get("name", "model") if isinstance(model, dict) else "model"))
    lead = f"{name} {'answers' if answer.is_chat else 'continues with'}"
    if not answer.text:
        return Headline(*_without_text(name, lead, answer), "", "", "", "")
    decisive = answer.decisive
    if decisive is None or decisive.place is None:
        return Headline(lead, *_parts(answer, (0, 0)), "", "")
    return Headline(
        lead, *_parts(answer, decisive.place),
        "" if decisive.probability is None else probability(decisive.probability),
        _note(decisive, source_of(trace)),
    )  # fmt: skip


def _without_text(name: str, lead: str, answer: Answer) -> tuple[str, str]:
    """Return who says what where the answer has no text but its reasoning, if any."""
    if not answer.reasoning:
        return lead, "no text"
    text = answer.reasoning[:_LETTERS].strip()
    if len(text) < len(answer.reasoning) or answer.is_cut:
        text += "…"
    what = "is still reasoning" if answer.is_cut else "ends within its reasoning"
    return f"{name} {what}", _one_line(text)


def _parts(answer: Answer, place: tuple[int, int]) -> tuple[str, str, str]:
    """Return the text before the decisive word, the word, and the text after it, cut to fit."""
    text, (a, b) = answer.shown, place
    start = 0 if b <= _LETTERS - 2 * _BEFORE else max(0, a - _BEFORE)
    stop = max(b, start + _LETTERS)
    before = ("…" if start else "") + text[start:a]
    after = text[b:stop] + ("…" if stop < len(text) else "")
    return _one_line(before), _one_line(text[a:b]), _one_line(after)


def _one_line(text: str) -> str:
    return for_terminal(_BREAKS.sub(" ", text))


def _note(decisive: Decisive, source: str) -> str:
    """Return why the word is marked, and where it is."""
    what = f"The first {'content word' if decisive.is_content else 'word'} of the answer"
    if decisive.is_new:
        what += f" that is not in the {source}"
    return f"{what} (position {decisive.position:,})"
