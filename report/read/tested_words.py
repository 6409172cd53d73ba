"""The tested words of an answer, as plain facts: the spans that were hidden, and what that did.

Effects are changes of ln p of a word, in nats; NaN where a span was not tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from attentropy.engine.trace.sources import LABELS
from attentropy.report.text import cut, for_sentence
from attentropy.report.units import probability

RESTS_ON = LABELS[:2]  # the labels of what a word rests on
# The labels of what the answer does not read itself, tested in every layer.
NO_EFFECT = ("through other tokens", "attended, no effect", "no effect")
_NEAR_0 = 0.0005  # below it a probability is only said to be less than 0.001


@dataclass(frozen=True)
class TestedSpan:
    """A span of the prompt, positions [start, stop): what it is, and its text on one line.

    id: the segment's, "" without. draws: how many random spans are its control. mass: the attention
    that it receives from the answer's rows, the mean over heads and layers. copies: the positions
    of the answer that restate a content word of it. versus: what hiding it changes in the lead of
    the answer over another text, in nats.
    """

    index: int
    start: int
    stop: int
    level: str
    role: str
    id: str
    text: str
    draws: int
    mass: float
    copies: tuple[int, ...] = ()
    versus: float = float("nan")

    @property
    def is_named(self) -> bool:
        """Whether it is a segment with an id of its own."""
        return bool(self.id) and self.level == "segment"

    @property
    def name(self) -> str:
        """The id of a named segment, or the text."""
        return self.id if self.is_named else self.text

    @property
    def title(self) -> str:
        """The name with what it is, where it is longer than a sentence; its parts may begin so."""
        is_long = self.level in ("message", "paragraph") and not self.is_named
        return f"{self.level}: {self.name}" if is_long else self.name

    def is_within(self, other: TestedSpan) -> bool:
        """Return whether it is a part of another span."""
        is_shorter = self.stop - self.start < other.stop - other.start
        return is_shorter and other.start <= self.start and self.stop <= other.stop

    @property
    def is_sink(self) -> bool:
        """Whether attention parks there, so that it cannot be hidden."""
        return self.role == "sink"


@dataclass(frozen=True)
class Effect:
    """What hiding a span does to a word: changes of ln p in nats, and a label of `LABELS`.

    hidden: together with its copies in the answer; alone: without them; copies: they alone; total:
    hidden from the rest of the prompt too; removed: the prompt was read without it. low, high: the
    5th and 95th percentile of random spans hidden in the same way; total_low, total_high: the same
    for total.
    enough: the change where the answer sees this passage and no other one. reads: the first and the
    last layer, entries along `layer`, in which the answer reads it.
    """

    span: TestedSpan
    label: str
    hidden: float
    alone: float
    copies: float
    total: float
    removed: float
    low: float
    high: float
    total_low: float
    total_high: float
    enough: float
    from_layer: tuple[float, ...]
    reads: tuple[int, int] | None

    @property
    def is_source(self) -> bool:
        """Whether the word rests on the span."""
        return self.label in RESTS_ON

    @property
    def has_layers(self) -> bool:
        """Whether it was hidden from other layers on than from the first one, too."""
        return int(np.isfinite(self.from_layer).sum()) > 1

    @property
    def has_copies(self) -> bool:
        """Whether the answer repeats the span, so that hiding it alone changes another amount."""
        return bool(np.isfinite(self.alone) and abs(self.hidden - self.alone) > 1e-9)


@dataclass(frozen=True)
class TestedWord:
    """A word of the answer, positions [start, stop), with what hiding each span does to it.

    logprob: its ln p with nothing hidden. template, evidence: the change with all template tokens,
    and with all passages hidden.
    """

    index: int
    start: int
    stop: int
    text: str
    is_decisive: bool
    logprob: float
    template: float
    evidence: float
    effects: tuple[Effect, ...]

    @property
    def probability(self) -> float:
        """Its probability with nothing hidden."""
        return float(np.exp(self.logprob))

    def changed(self, effect: float) -> float:
        """Return the probability after a change of ln p."""
        return float(np.exp(min(0.0, self.logprob + effect)))

    def left(self, effect: float) -> str:
        """Return the probability after a change as text, and the change where both are near 0."""
        if self.probability >= _NEAR_0 or self.changed(effect) >= _NEAR_0:
            return probability(self.changed(effect))
        return f"{'−' if effect < 0 else '+'}{abs(effect):.2f} nats"

    @cached_property
    def sources(self) -> tuple[Effect, ...]:
        """What the word rests on, the strongest first.

        Of a passage and a part of it, the part alone.
        """
        candidates = [effect for effect in self.effects if effect.is_source]
        own = (
            one
            for one in candidates
            if not any(other.span.is_within(one.span) for other in candidates)
        )
        return tuple(sorted(own, key=lambda one: (_order(one.hidden), one.span.index)))


@dataclass(frozen=True)
class Sources:
    """The tested words of an answer, and the spans of the prompt that were hidden.

    `main` is the word of the headline, else the first decisive one. facts: the group's attributes.
    """

    words: tuple[TestedWord, ...]
    spans: tuple[TestedSpan, ...]
    main: TestedWord
    facts: dict[str, object]

    @property
    def decisive(self) -> tuple[TestedWord, ...]:
        """The words that say something new; all, where none does."""
        return tuple(word for word in self.words if word.is_decisive) or self.words

    @property
    def target(self) -> str:
        """The text that was tested in place of the model's own answer; "" for the answer."""
        return for_sentence(str(self.facts.get("target") or ""), 60)

    @property
    def versus(self) -> str:
        """The other text that the answer was compared with; "" for none."""
        own = for_sentence(str(self.facts.get("versus") or ""), 60)
        return own if any(np.isfinite(span.versus) for span in self.spans) else ""

    @property
    def tested(self) -> int:
        """How many spans were tested."""
        return sum(self._is_tested(span) for span in self.spans)

    @property
    def sinks(self) -> int:
        """How many spans cannot be tested, because attention parks there."""
        return sum(span.is_sink and not self._is_tested(span) for span in self.spans)

    @property
    def untested(self) -> int:
        """How many other spans were left out."""
        return len(self.spans) - self.tested - self.sinks

    def _is_tested(self, span: TestedSpan) -> bool:
        return any(np.isfinite(word.effects[span.index].hidden) for word in self.words)

    @property
    def floor(self) -> float:
        """The change below which nothing counts, in nats."""
        value = self.facts.get("floor")
        return float(value) if isinstance(value, int | float) else 0.1

    def word_at(self, position: int) -> TestedWord | None:
        """Return the word at a position of the answer."""
        return next((word for word in self.words if word.start <= position < word.stop), None)


def quoted_part(text: str, columns: int) -> str:
    """Return a text in quotation marks, with blanks as they are, cut to `columns`."""
    return f"“{cut(text, columns)}”"


def _order(value: float) -> float:
    return value if np.isfinite(value) else 0.0
