"""Which spans are tested, in which order: coarse to fine, and the strongest with a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from attentropy.engine.sources.controls import (
    DRAWS,
    LEAST_DRAWS,
    Control,
    Controls,
    interval,
    no_control,
)
from attentropy.engine.sources.copies import Hiding, widest
from attentropy.engine.sources.cost import STRONGEST
from attentropy.engine.sources.hiding import Variant
from attentropy.engine.sources.labels import HALF, floor_of, is_below, is_own
from attentropy.engine.sources.layout import Layout
from attentropy.engine.sources.reads import BudgetTooSmall, Readings
from attentropy.engine.sources.spans import Span, Spans
from attentropy.engine.sources.words import AnswerWord, of_words
from attentropy.engine.trace.types import Array

SINK_MASS = 0.2  # of the answer's rows, from which on a token without content is a sink
Window = tuple[int, int]


@dataclass(eq=False)
class Tested:
    """A span, and what its tests gave: effects per step, NaN for what was not tested.

    copies: the effect of hiding its copies alone, where it matters for the label. is_refined:
    whether its parts are spans too. also_there, control, control_total: per word.
    """

    span: Span
    direct: Array
    with_copies: Array
    copies: Array
    mass: float
    total: Array
    removed: Array
    sufficient: Array
    control: Control
    control_total: Control
    also_there: Array
    from_layer: Array | None = None
    is_refined: bool = False
    is_sink: bool = False

    @property
    def tokens(self) -> range:
        """The tokens of the span."""
        return range(self.span.start, self.span.stop)


@dataclass
class Search:
    """The search for the sources of an answer.

    tested: all spans, the sinks first. `frontier` are the finest of them, which do not overlap.
    is_whole: a budget that does not pay for all of them is an error, `BudgetTooSmall`.
    """

    layout: Layout
    words: Sequence[AnswerWord]
    readings: Readings
    spans: Spans
    seed: int = 0
    draws: int = DRAWS
    is_whole: bool = False
    tested: list[Tested] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mass = self.readings.attention()
        keys = Hiding(self.layout, self.words).keys
        heavy = np.flatnonzero(self.mass >= SINK_MASS).tolist()
        self.sinks = [i for i in heavy if not keys([i])]
        self.hiding = Hiding(self.layout, self.words, self.sinks)
        self.decisive = [i for i, word in enumerate(self.words) if word.is_decisive]
        self.tested += [self._sink(i) for i in self.sinks]

    @property
    def floor(self) -> float:
        """The least effect that counts, in nats."""
        return floor_of(self.readings.noise)

    @property
    def frontier(self) -> list[Tested]:
        """The finest spans, in order of place; they do not overlap, and none is a sink."""
        own = [one for one in self.tested if not (one.is_refined or one.is_sink)]
        return sorted(own, key=lambda one: one.span.start)

    def word_effects(self, values: Array) -> Array:
        """Return effects of steps, [..., step], as effects of words, [..., word]."""
        return of_words(values, list(self.words))

    def strength(self, one: Tested) -> float:
        """Return the largest effect on a decisive word, NaN where it was not tested."""
        effects = self.word_effects(one.with_copies)[self.decisive]
        return float(np.abs(effects).max(initial=0.0))

    def strongest(self, role: str = "") -> list[Tested]:
        """Return the finest spans, of a role if one is given, with the strongest effects."""
        own = self.with_role(role)
        return [own[i] for i in widest(np.array([self.strength(one) for one in own]), STRONGEST)]

    def attended(self, role: str = "") -> list[Tested]:
        """Return the finest spans, of a role if one is given, that the answer attends to most."""
        own = self.with_role(role)
        return [own[i] for i in widest(np.array([one.mass for one in own]), STRONGEST)]

    def with_role(self, role: str) -> list[Tested]:
        """Return the finest spans of a role; of all roles for ""."""
        return [one for one in self.frontier if role in ("", one.span.role)]

    def is_source(self, one: Tested, word: int) -> bool:
        """Return whether hiding the span with its copies makes the word half as probable."""
        effect = float(self.word_effects(one.with_copies)[word])
        is_low = is_below(effect, float(one.control.low[word]), self.floor)
        return is_low and bool(self.is_own(one, word))

    def is_own(self, one: Tested, word: int) -> bool | None:
        """Return whether the effect with copies is the span's own; None where it is not known."""
        effects = self.word_effects(np.stack([one.direct, one.with_copies, one.copies]))
        direct, with_copies, copies = effects[:, word].tolist()
        return is_own(direct, with_copies, copies, self.floor)

    def test(self) -> None:
        """Test the spans with and without their copies, and refine the strongest.

        Where only the copies make the difference, they are tested alone.
        """
        self._add(self.spans.first())
        parts = self._refine(least=1)
        while parts:
            self._add(parts)
            parts = self._refine()
        wanted = [one for one in self.tested if self._may_be_of_copies(one)]
        variants = [self.hiding.copies(one.tokens) for one in wanted]
        if variants:
            for one, effects in zip(wanted, self.readings.direct(variants), strict=True):
                one.copies = effects

    def _may_be_of_copies(self, one: Tested) -> bool:
        """Return whether a decisive word falls with the span's copies, and stands without them."""
        direct, effect = (self.word_effects(own) for own in (one.direct, one.with_copies))
        has_fallen = (effect < -HALF) & ~(direct < -HALF)
        return bool(has_fallen[self.decisive].any())

    def _refine(self, least: int = 0) -> list[Span]:
        """Return the parts of the strongest spans that have any, which are refined by them.

        They are those with an effect that counts, and in any case the `least` strongest.
        """
        parts: list[Span] = []
        divisible = [one for one in self.frontier if self.spans.finer(one.span)]
        effects = np.array([self.strength(one) for one in divisible])
        for rank, i in enumerate(widest(effects, STRONGEST)):
            if rank >= least and effects[i] < self.floor:
                break
            divisible[i].is_refined = True
            parts += self.spans.finer(divisible[i].span)
        return parts

    def _add(self, spans: Sequence[Span]) -> None:
        """Test spans, those with the most attention first."""
        rows = [self._untested(span) for span in spans if set(range(span.start, span.stop))
                - set(self.sinks)]  # fmt: skip
        self.tested += rows
        order = sorted(rows, key=lambda one: -one.mass if np.isfinite(one.mass) else 0.0)
        variants, of = list[Variant](), list[tuple[Tested, str]]()
        for one in order:
            variants.append(self.hiding.direct(one.tokens))
            of.append((one, "direct"))
            if self.hiding.copies(one.tokens):
                variants.append(self.hiding.with_copies(one.tokens))
                of.append((one, "with_copies"))
        if self.is_whole and not self.readings.affords(len(variants)):
            raise BudgetTooSmall
        for (one, name), effects in zip(of, self.readings.direct(variants), strict=True):
            if name == "direct" and not self.hiding.copies(one.tokens):
                one.with_copies = effects
            setattr(one, name, effects)

    def _untested(self, span: Span) -> Tested:
        own = [i for i in range(span.start, span.stop) if i not in self.sinks]
        nothing = np.full(self.readings.steps, np.nan)
        words = len(self.words)
        return Tested(
            span, nothing, nothing, nothing, float(self.mass[own].sum()), nothing, nothing,
            nothing,
            no_control(words), no_control(words), np.zeros(words, bool),
        )  # fmt: skip

    def _sink(self, token: int) -> Tested:
        is_template = self.layout.roles[token] not in ("content", "reasoning", "image")
        level = "template" if is_template else "word"
        span = Span(token, token + 1, level, "sink", self.layout.message_of(token))
        one = self._untested(span)
        one.is_sink, one.mass = True, float(self.mass[token])
        return one

    def controls(self) -> Controls:
        """Return the draws of controls, which overlap no span with an effect below −ln 2."""
        own = self.frontier
        strong = [
            one.span
            for one in own
            if (self.word_effects(one.with_copies)[self.decisive] < -HALF).any()
        ]
        singles = [
            one.span.start for one in own
            if len(one.tokens) == 1 and np.isfinite(one.with_copies).all()
        ]  # fmt: skip
        return Controls(self.layout, strong, self.sinks, singles, seed=self.seed, draws=self.draws)

    def control_the_strongest(self) -> None:
        """Give the strongest spans the control of their length and message.

        One whose effect does not count gets it where its draws are tested already.
        """
        draws = self.controls()
        own = {(one.span.start, one.span.stop): one.with_copies for one in self.frontier}
        effects = WindowEffects(
            lambda windows: self.readings.direct(
                [self.hiding.with_copies(range(*window)) for window in windows]
            ),
            {window: values for window, values in own.items() if np.isfinite(values).all()},
        )
        wanted = [(one, draws.draws_for(one.span)) for one in self.strongest()]
        wanted = [(one, windows) for one, windows in wanted
                  if self.strength(one) >= self.floor or effects.has(windows)]  # fmt: skip
        counted = [windows for _, windows in wanted if len(windows) >= LEAST_DRAWS]
        effects.test(list(dict.fromkeys(chain.from_iterable(counted))))  # all of them in one batch
        for one, windows in wanted:
            one.control = effects.control(windows, self.word_effects, len(self.words))


class WindowEffects:
    """The effects of hiding windows, each tested once however many spans share it."""

    def __init__(
        self, test: Callable[[Sequence[Window]], Array], known_effects: dict[Window, Array]
    ) -> None:
        self._test, self._effects = test, dict(known_effects)

    def has(self, windows: Sequence[Window]) -> bool:
        """Return whether all windows are tested already."""
        return all(window in self._effects for window in windows)

    def test(self, windows: Sequence[Window]) -> None:
        """Test the windows that were not tested yet."""
        new = [window for window in windows if window not in self._effects]
        if new:
            self._effects |= dict(zip(new, self._test(new), strict=True))

    def of(self, windows: Sequence[Window]) -> Array:
        """Return the effect of each window on each step, [window, step]."""
        self.test(windows)
        return np.stack([self._effects[window] for window in windows])

    def control(
        self, windows: Sequence[Window], to_words: Callable[[Array], Array], words: int
    ) -> Control:
        """Return the control that these draws give."""
        if len(windows) < LEAST_DRAWS:
            return no_control(words)
        return interval(to_words(self.of(windows)))
