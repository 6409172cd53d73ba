"""The headline of a page: the answer, with its decisive word and that word's probability."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.sure import SURE, runners_up
from attentropy.report.read.answer_words import Answer, cut_text, read_answer
from attentropy.report.read.decisive_word import Decisive
from attentropy.report.read.maps import LONG
from attentropy.report.text import for_sentence, for_terminal
from attentropy.report.units import probability

_CLEAR = 0.9  # a probability from which on the runner-up says nothing new
_LETTERS = 160  # of the answer
_BREAKS = re.compile(r"\s*\n\s*")
_BEFORE = 60  # of them before a decisive word that stands far behind


@dataclass(frozen=True)
class Headline:
    """What the model wrote: `before`, the decisive `word` and `after` are parts of its text.

    lead: what the text is where it is no answer of a chat. `word` is empty where none is marked;
    `probability` is the word's, `is_sure` whether that is at least one half, `note` says where it
    stands, and `next` names the most likely other token with its probability where that is no
    small one.
    """

    lead: str
    before: str
    word: str = ""
    after: str = ""
    probability: str = ""
    note: str = ""
    is_sure: bool = True
    next: str = ""

    @property
    def text(self) -> str:
        """The text, which is empty where the lead says all."""
        return self.before + self.word + self.after

    @property
    def p(self) -> str:
        """The probability with its sign, and that it is low; empty without one."""
        if not self.probability:
            return ""
        sign = "" if self.probability[0] in "<>" else "= "
        more = ["unsure"] * (not self.is_sure) + [f"next: {self.next}"] * bool(self.next)
        text = f"p {sign}{self.probability}"
        return f"{text} ({'; '.join(more)})" if more else text


def headline(trace: Trace) -> Headline | None:
    """Return the headline of a trace: its answer, or the token that the model predicts next.

    None where it has neither.
    """
    answer = read_answer(trace)
    if answer is None:  # a long text is read for its heads, and not for its next token
        return _prediction(trace) if trace.prompt_tokens <= LONG else None
    lead = "" if answer.is_chat else "Continues with"
    if not answer.text:
        return _without_text(answer)
    decisive = answer.decisive
    if decisive is None or decisive.place is None:
        return Headline(lead, *_parts(answer, (0, 0)))
    value = decisive.probability
    return Headline(
        lead, *_parts(answer, decisive.place), "" if value is None else probability(value),
        _note(decisive), value is None or value >= SURE, _next(trace, decisive),
    )  # fmt: skip


def _next(trace: Trace, decisive: Decisive) -> str:
    """Return the runner-up with its probability; empty where the word is clearly the first."""
    if decisive.probability is None or decisive.probability >= _CLEAR or decisive.tokens > 1:
        return ""
    return next(iter(runners_up(trace, decisive)), "")


def _without_text(answer: Answer) -> Headline:
    """Return the headline of an answer that has no text but its reasoning, if any."""
    if not answer.reasoning:
        return Headline("The answer has no text", "")
    text = answer.reasoning[:_LETTERS].strip()
    if len(text) < len(answer.reasoning) or answer.is_cut:
        text = cut_text(text)
    return Headline(
        "Still reasoning:" if answer.is_cut else "Ends within its reasoning:", _one_line(text)
    )


def _prediction(trace: Trace) -> Headline | None:
    """Return the model's most likely next token, from the lens's last layer at the prompt's end."""
    needed = ("lens_top_ids", "lens_top_logprobs", "target_ids")
    last = trace.prompt_tokens - 1
    if any(name not in trace for name in needed) or "residual" not in trace.sites:
        return None
    here = slice(last, last + 1)
    ids = trace.lens("lens_top_ids", here, "residual")[-1, 0]
    target = int(trace["target_ids"][last])
    if not ids.size or target < 0 or int(ids[0]) != target:
        return None
    value = float(np.exp(trace.lens("lens_top_logprobs", here, "residual")[-1, 0, 0]))
    token = for_sentence(trace.text_of([target])[0].strip(" "), 40)
    if not token:
        return None
    return Headline(
        "Most likely next token:", "", token, "", probability(value),
        f"The model's own output after the prompt (position {last:,})", value >= SURE,
    )  # fmt: skip


def _parts(answer: Answer, place: tuple[int, int]) -> tuple[str, str, str]:
    """Return the text before the decisive word, the word, and the text after it, cut to fit."""
    text = answer.shown
    first = len(text) - len(text.lstrip())
    a, b = (max(end, first) for end in place)
    start = first if b <= _LETTERS - 2 * _BEFORE else max(first, a - _BEFORE)
    stop = max(b, start + _LETTERS)
    before = ("…" if start > first else "") + text[start:a]
    after = text[b:stop] if stop >= len(text) else cut_text(text[b:stop])
    return _one_line(before), _one_line(text[a:b]), _one_line(after)


def _one_line(text: str) -> str:
    return for_terminal(_BREAKS.sub(" ", text))


def _note(decisive: Decisive) -> str:
    """Return why the word is marked, and where it is."""
    what = f"The first {'content word' if decisive.is_content else 'word'} of the answer"
    if decisive.is_new:
        what += f" that is not in the {decisive.source}"
    return f"{what} (position {decisive.position:,})"
