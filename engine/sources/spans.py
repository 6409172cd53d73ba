"""The spans of a prompt that are tested: messages, paragraphs, sentences, words or segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attentropy.engine.errors import UsageError
from attentropy.engine.sources.layout import ASKS, EVIDENCE, Layout, Region, regions
from attentropy.engine.trace.segments import DOCUMENT
from attentropy.engine.trace.text_parts import paragraph_starts, sentence_starts
from attentropy.engine.trace.word_boundaries import word_boundaries

LEVELS = ("message", "paragraph", "sentence", "word")
SEGMENT = "segment"
AUTO = "auto"
MANY = 64  # spans of one role that are tested without coarser ones first
_SHORT = 64  # words of a prompt without evidence up to which each word is tested


@dataclass(frozen=True)
class Span:
    """A passage of the prompt, tokens [start, stop), that can be hidden from the answer.

    level: one of `LEVELS`, "segment", or "template" for a sink of the template. role: asks,
    evidence, instruction, or sink. id: the name of its segment, "" for none.
    """

    start: int
    stop: int
    level: str
    role: str
    message: int = -1
    id: str = ""

    def overlaps(self, other: Span) -> bool:
        """Return whether the two share a token."""
        return self.start < other.stop and other.start < self.stop


def check_level(level: str) -> str:
    """Return the level. Raises `UsageError` for one that there is not."""
    if level not in (AUTO, SEGMENT, *LEVELS):
        raise UsageError(f"`level={level!r}` is not a level; use {', '.join((AUTO, *LEVELS))}")
    return level


class Spans:
    """The spans of a prompt, level by level, down to the level that each role is tested at."""

    def __init__(self, layout: Layout, level: str = AUTO) -> None:
        self.layout, self.level = layout, check_level(level)
        self._regions = regions(layout)
        words = sum(len(self._at(region, "word")) for region in self._regions)
        self._is_short = words <= _SHORT and not any(r.role == EVIDENCE for r in self._regions)

    def first(self) -> list[Span]:
        """Return the spans that are tested first: the finest of which a role has not too many."""
        spans = []
        for role in dict.fromkeys(region.role for region in self._regions):
            own = [region for region in self._regions if region.role == role]
            spans += self._first_of(own)
        return sorted(spans, key=lambda span: span.start)

    def finer(self, span: Span) -> list[Span]:
        """Return the parts of a span at the next level that divides it; none at the last level."""
        if span.level not in LEVELS:
            return []
        region = Region(span.start, span.stop, span.role, span.message, span.id)
        last = LEVELS.index(self._last_level(region))
        for level in LEVELS[LEVELS.index(span.level) + 1 : last + 1]:
            parts = self._at(region, level)
            if len(parts) > 1:
                return parts
        return []

    def _first_of(self, own: Sequence[Region]) -> list[Span]:
        levels = [self._last_level(region) for region in own]
        for i in range(len(LEVELS)):
            spans = [
                span
                for region, last in zip(own, levels, strict=True)
                for span in self._at(region, _coarser(last, i))
            ]
            is_coarsest = all(_coarser(last, i) in (LEVELS[0], SEGMENT) for last in levels)
            if len(spans) <= MANY or is_coarsest:
                break
        return spans

    def _last_level(self, region: Region) -> str:
        """Return the finest level at which a region is tested."""
        is_named = bool(region.segment) and region.role != ASKS
        is_whole = self.level == AUTO and region.segment != DOCUMENT
        if is_named and (is_whole or self.level == SEGMENT):
            return SEGMENT
        if self.level in LEVELS:
            return self.level
        return "word" if region.role == ASKS or self._is_short else "sentence"

    def _at(self, region: Region, level: str) -> list[Span]:
        """Return the spans of a region at one level. Blanks alone are no span."""
        start, stop = region.start, region.stop
        if level in ("message", SEGMENT):
            parts = [(start, stop)]
        else:
            text = self.layout.text(start, stop)
            cut = {"paragraph": paragraph_starts, "sentence": _sentences, "word": word_boundaries}
            parts = self.layout.cuts(start, stop, cut[level](text))
        return [
            Span(a, b, level, region.role, region.message, region.segment)
            for a, b in parts
            if self.layout.text(a, b).strip()
        ]


def _sentences(text: str) -> list[int]:
    """Return where sentences begin; each paragraph begins one."""
    return sorted({*sentence_starts(text), *paragraph_starts(text)})


def _coarser(level: str, steps: int) -> str:
    """Return the level some steps above one; a segment is its own."""
    return level if level == SEGMENT else LEVELS[max(0, LEVELS.index(level) - steps)]
