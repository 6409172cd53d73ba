"""What the words of an answer rest on, measured by the judge: words, copies, sinks and effects.

Which spans of the prompt were tested, and their roles, is taken from the trace; their effects are
measured again, by the rules of docs/definitions.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import regex
from torch import Tensor

from real.evidence import Evidence, Span
from real.hidden import Cut, HiddenReadings
from real.words import bare_text, boundaries_of, key_of

HALF = math.log(2)
FLOOR, SINK_MASS = 0.1, 0.2
WINDOWS = 64  # of a control, at most
_SPACE = regex.compile(r"\s+")


@dataclass(frozen=True)
class AnswerWord:
    """A word of the answer, or a sign: its steps [start, stop) and its text."""

    start: int
    stop: int
    text: str

    @property
    def key(self) -> str:
        """The word as it is compared, "" for a sign."""
        return key_of(self.text)


class Tested:
    """The answer of a case, read again with any part of its prompt hidden."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, case = evidence, evidence.case
        self.prompt, self.spans = case.prompt, case.spans
        self.steps = len(case.generated)
        while self.steps and case.generated[self.steps - 1] in evidence.words.special:
            self.steps -= 1
        ids = case.ids[: case.prompt + self.steps]
        self._readings = HiddenReadings(evidence.model, ids, case.prompt)
        self._logprobs: dict[object, np.ndarray] = {}

    @cached_property
    def words(self) -> list[AnswerWord]:
        """The words and signs of the answer in order; none begins within a letter."""
        decode = self.evidence.model.tokenizer.decode
        own = self.evidence.case.generated[: self.steps]
        before = ["", *(decode(own[: i + 1]) for i in range(len(own)))]
        text, places = before[-1], boundaries_of(before[-1])
        starts = [
            i for i, read in enumerate(before[:-1])
            if not i or (len(read) in places and not read.endswith("\ufffd"))
        ]  # fmt: skip
        words = [
            AnswerWord(a, b, text[len(before[a]) : len(before[b])].strip())
            for a, b in pairwise([*starts, len(own)])
        ]
        return [word for word in words if word.text]

    def content(self, word: AnswerWord) -> bool:
        """Return whether a word is a content word."""
        return self.evidence.words.is_content(self.prompt + word.start) and bool(word.key)

    @cached_property
    def decisive(self) -> list[AnswerWord]:
        """The content words that do not stand in what asks; all of them, or all words."""
        content = [word for word in self.words if self.content(word)]
        question = {
            key for i, role in enumerate(self.roles) if role == "asks"
            for key in self.evidence.words.any_keys(i)
        }  # fmt: skip
        new = [word for word in content if word.key not in question]
        return new or content or [word for word in self.words if word.key] or self.words

    @cached_property
    def roles(self) -> list[str]:
        """What each token of the prompt is for; a blank is for what the token before it is."""
        case, roles = self.evidence.case, list[str]()
        own = {i: s.role for s in self.spans if s.role != "sink" for i in range(s.start, s.stop)}
        for i in range(self.prompt):
            is_template = case.roles[i] in ("template", "bos")
            before = roles[-1] if roles and roles[-1] != "template" else "evidence"
            roles.append(own.get(i, "template" if is_template else before))
        return roles

    @cached_property
    def mass(self) -> np.ndarray:
        """The attention of each prompt token from the rows that predict the answer."""
        masses: list[np.ndarray] = []
        rows = slice(self.prompt - 1, self.prompt + self.steps - 1)

        def keep(layer: int, weights: Tensor) -> None:
            masses.append(weights[:, rows, : self.prompt].mean((0, 1)).numpy())

        self.evidence.model.read(self.evidence.case.ids[: self.prompt + self.steps], keep)
        return np.mean(masses, 0)

    @cached_property
    def sinks(self) -> frozenset[int]:
        """The tokens without content that take a fifth of that attention."""
        heavy = np.flatnonzero(self.mass >= SINK_MASS).tolist()
        return frozenset(i for i in heavy if not self._keys([i]))

    def tokens_of(self, role: str) -> list[int]:
        """Return the prompt's tokens of a role."""
        return [i for i, own in enumerate(self.roles) if own == role]

    def logprob(self, cuts: Sequence[Cut]) -> np.ndarray:
        """Return ln p of each step with these parts hidden."""
        key = tuple((tuple(sorted(keys)), row) for keys, row in cuts)
        if key not in self._logprobs:
            self._logprobs[key] = self._readings.logprobs([cuts])[0]
        return self._logprobs[key]

    def measure(self, variants: Iterable[Sequence[Cut]]) -> None:
        """Read variants together, which is faster than one by one."""
        keyed = {tuple((tuple(sorted(k)), row) for k, row in cuts): cuts for cuts in variants}
        new = {key: cuts for key, cuts in keyed.items() if key not in self._logprobs}
        own = self._readings.logprobs(list(new.values()))
        self._logprobs |= dict(zip(new, own, strict=True))

    def of_word(self, word: AnswerWord, cuts: Sequence[Cut] = ()) -> float:
        """Return ln p of a word with these parts hidden."""
        return float(self.logprob(cuts)[word.start : word.stop].sum())

    def effect(self, word: AnswerWord, cuts: Sequence[Cut]) -> float:
        """Return the change of ln p of a word."""
        return self.of_word(word, cuts) - self.of_word(word)

    def alone(self, tokens: Iterable[int]) -> list[Cut]:
        """Return what hides tokens from the answer's rows."""
        return [(frozenset(tokens) - self.sinks, self.prompt - 1)]

    def with_copies(self, tokens: Iterable[int]) -> list[Cut]:
        """Return what hides tokens, and the words of the answer that restate them."""
        own = frozenset(tokens) - self.sinks
        asks = {i for i in own if self.roles[i] == "asks"}
        hidden = self._keys(asks) | (self._keys(own - asks) - self._keys(self.tokens_of("asks")))
        places = [
            range(self.prompt + word.start, self.prompt + word.stop)
            for word in self.words if word.key in hidden and self.content(word)
        ]  # fmt: skip
        return [*self.alone(own), *((frozenset(place), place.stop) for place in places)]

    def copies(self, tokens: Iterable[int]) -> list[Cut]:
        """Return what hides the words of the answer that restate tokens, and not these."""
        return self.with_copies(tokens)[1:]

    def only(self, span: Span) -> list[Cut]:
        """Return what hides all evidence but a span."""
        return self.alone(set(self.tokens_of("evidence")) - set(span.tokens))

    def hidden_evidence(self, word: AnswerWord) -> list[Cut]:
        """Return what hides all evidence; with its copies, unless these alone cost the word."""
        own = self.tokens_of("evidence")
        return self.with_copies(own) if self.is_own(word, own) else self.alone(own)

    def is_own(self, word: AnswerWord, tokens: Collection[int]) -> bool:
        """Return whether what a word loses is owed to the tokens, and not to their copies alone."""
        if self.effect(word, self.alone(tokens)) < -HALF:
            return True
        both, copies = self.with_copies(tokens), self.copies(tokens)
        return self.of_word(word, both) - self.of_word(word, copies) < -HALF

    def from_layer(self, word: AnswerWord, span: Span, layer: int) -> float:
        """Return the change of ln p with a span and its copies hidden from a layer on."""
        own = self._readings.logprobs([self.with_copies(span.tokens)], layer)[0]
        return float(own[word.start : word.stop].sum()) - self.of_word(word)

    def total(self, run: range | Span) -> list[Cut]:
        """Return what hides a run of tokens from every row after it."""
        own = run.tokens if isinstance(run, Span) else run
        return [(frozenset(own) - self.sinks, min(own.stop, self.prompt - 1))]

    def _keys(self, tokens: Iterable[int]) -> set[str]:
        words = self.evidence.words
        return {key for i in tokens if self.roles[i] != "template" for key in words.keys(i)}

    @cached_property
    def effects(self) -> dict[Span, np.ndarray]:
        """The change of ln p of each step with a span and its copies hidden; sinks left out."""
        own = [span for span in self.spans if span.role != "sink" and set(span.tokens) - self.sinks]
        self.measure([[], *(self.with_copies(span.tokens) for span in own)])
        return {span: self.logprob(self.with_copies(span.tokens)) - self.logprob([])
                for span in own}  # fmt: skip

    def strong(self) -> set[int]:
        """Return the tokens of the spans that some decisive word needs: no control has one."""
        steps = [slice(word.start, word.stop) for word in self.decisive]
        return {
            i for span, effect in self.effects.items() if not span.is_refined
            if any(effect[own].sum() < -HALF for own in steps) for i in span.tokens
        }  # fmt: skip

    def control(self, span: Span, word: AnswerWord) -> np.ndarray:
        """Return the effects on a word of other runs of tokens as long as a span, sorted."""
        length, barred = span.stop - span.start, self.strong() | self.sinks | set(span.tokens)
        barred |= set(self.tokens_of("template"))
        runs = [range(a, a + length) for a in range(self.prompt - length + 1)]
        decode, ids = self.evidence.model.tokenizer.decode, self.evidence.case.ids
        runs = [run for run in runs if not barred & set(run)
                and decode([ids[i] for i in run]).strip()]  # fmt: skip
        runs = runs[:: -(-len(runs) // WINDOWS) or 1]
        self.measure(self.with_copies(run) for run in runs)
        return np.sort([self.effect(word, self.with_copies(run)) for run in runs])

    def named(self, name: str, kind: str = "") -> list[Span]:
        """Return the spans that a sentence names so: by their words, or by a passage's name."""
        is_id = kind in ("passage", "segment")
        texts = {span: span.id if is_id else self.text(span) for span in self.spans}
        return [span for span, text in texts.items() if is_cut(name, text)]

    def text(self, span: Span) -> str:
        """Return the text of a span in one line, a single word without signs around it."""
        ids = self.evidence.case.ids[span.start : span.stop]
        text = _SPACE.sub(" ", self.evidence.model.tokenizer.decode(ids)).strip()
        return text if " " in text else bare_text(text) or text

    def occurrences(self, name: str) -> list[AnswerWord]:
        """Return the words of the answer that a sentence names so."""
        return [word for word in self.words if is_cut(name, bare_text(word.text) or word.text)]


@lru_cache(maxsize=1)
def tested_of(evidence: Evidence) -> Tested:
    """Return what the answer of a case does with parts of its prompt hidden from it."""
    return Tested(evidence)


def is_cut(name: str, text: str) -> bool:
    """Return whether a name is a text, or its beginning."""
    name, text = (one.strip("\u2066\u2067\u2068\u2069") for one in (name, text))
    return name == text or (name.endswith("…") and text.startswith(name[:-1].rstrip("\u2069")))


def largest_first(effects: Collection[float]) -> bool:
    """Return whether effects come in order, the one that takes most first."""
    return all(a <= b + 0.02 * abs(b) + 1e-3 for a, b in pairwise(effects))
