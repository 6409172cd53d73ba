"""Which characters of a rendered chat are the conversation's words: rendered again, words marked.

Each text gets marks of its own, characters that occur nowhere else. What lies between them in the
rendering is that text, provided that the rendering without marks is the plain one. Texts for which
it is not are found by halving; one that no mark finds is where the text changes with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from attentropy.engine.prompt.messages import NAME, Changes, Conversation, KeyPath
from attentropy.engine.prompt.parts import Part, cut_text, is_written, marked, shown_end
from attentropy.engine.prompt.reasoning import KEYS
from attentropy.engine.prompt.tokens import Span

# Renders a conversation; None where the template fails on it.
Render: TypeAlias = Callable[[Conversation], str | None]
Leaf: TypeAlias = tuple[KeyPath, Any]
# A mark, and where it stands in the text without marks.
_Event: TypeAlias = tuple[str, int, int]

_FIRST_MARK = 0x2A000
_FIRST_NUMBER = 7_310_000_001
# How templates write numbers, truth values and nothing.
_WRITERS: tuple[Callable[[Any], str], ...] = (json.dumps, str)


@dataclass(frozen=True)
class Word:
    """A run of characters of the rendered text, and the text at `path` that it comes from.

    offset: where it begins in that text; None where the template rewrote it.
    """

    start: int
    stop: int
    path: KeyPath
    role: str
    offset: int | None


@dataclass
class Finding:
    """What was found of one text: its words, the roles of parts left out, and what is doubtful."""

    words: list[Word] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    doubt: str = ""


class WordFinder:
    """Finds the words of `conversation` in `text`, its plain rendering."""

    def __init__(self, render: Render, text: str, conversation: Conversation) -> None:
        self._render = render
        self._text = text
        self._conversation = conversation
        everything = text + str(conversation)
        self._marks = (chr(i) for i in count(_FIRST_MARK) if chr(i) not in everything)
        self._numbers = (i for i in count(_FIRST_NUMBER) if str(i) not in everything)

    def find(self, leaves: list[Leaf]) -> dict[KeyPath, Finding]:
        """Return what was found of each leaf."""
        if not leaves:
            return {}
        for cut in (False, True):
            for write in _WRITERS:
                if (findings := self._try(leaves, write, cut_tags=cut)) is not None:
                    return findings
                if all(isinstance(value, str) for _, value in leaves):
                    break
        if len(leaves) > 1:
            half = len(leaves) // 2
            return self.find(leaves[:half]) | self.find(leaves[half:])
        path, value = leaves[0]
        return {path: self._find_changed(path, value)}

    def _try(
        self, leaves: list[Leaf], write: Callable[[Any], str], *, cut_tags: bool
    ) -> dict[KeyPath, Finding] | None:
        """Return what marks around all leaves at once find; None where they change the text."""
        changes: dict[KeyPath, Any] = {}
        parts: list[Part] = []
        shown: dict[str, str] = {}  # the text that stands for each mark in the plain rendering
        for path, value in leaves:
            own = list(self._parts(path, value, cut_tags))
            parts += own
            if isinstance(value, str):
                changes[path] = marked(value, own)
                shown |= {mark: "" for part in own for mark in (part.start, part.stop)}
            else:
                changes[path] = int(own[0].start)
                shown[own[0].start] = write(value)
        plain, events = self._read(changes, shown)
        if plain != self._text:
            return None
        blanks = self._kept_blanks(changes, shown, events)
        values = dict(leaves)
        at: dict[str, list[int]] = {}
        for i, (mark, _, _) in enumerate(events):
            at.setdefault(mark, []).append(i)
        findings = {path: Finding() for path in values}
        for part in parts:
            pairs = _pairs(part, at)
            if pairs is None:
                return None
            finding = findings[part.path]
            if not pairs and part.words:  # a template may choose a word for a truth value
                finding.missing.append(part.role)
            for first, last in pairs:
                word = self._word(part, values[part.path], events, first, last, blanks)
                if word.offset is None and part.words:
                    finding.doubt = "its tokens are those of the rewritten text"
                finding.words.append(word)
        for path, value in values.items():
            findings[path].words = self._joined(findings[path].words, value)
        return findings

    def _parts(self, path: KeyPath, value: Any, cut_tags: bool) -> Iterator[Part]:
        """Yield the parts of a leaf, with new marks."""
        if not isinstance(value, str):
            number = str(next(self._numbers))
            yield Part(path, "content", 0, "", number, number)
        elif path[-1] == NAME:  # one mark at the end, so that a sorted mapping stays so
            yield Part(path, "content", 0, value, "", next(self._marks))
        else:
            for role, (a, b) in cut_text(path, value, self._conversation, cut_tags):
                yield Part(path, role, a, value[a:b], next(self._marks), next(self._marks))

    def _read(self, changes: Changes, shown: dict[str, str]) -> tuple[str | None, list[_Event]]:
        """Return the rendering with the changes, read without marks, and where the marks stand."""
        rendered = self._render(self._conversation.with_changes(changes))
        letters = "".join(mark for mark in shown if len(mark) == 1)
        numbers = [mark for mark in shown if len(mark) > 1]
        pattern = "|".join([f"[{letters}]"] * bool(letters) + numbers)
        if rendered is None or not pattern:
            return rendered, []
        events: list[_Event] = []
        plain: list[str] = []
        size = last = 0
        for match in re.finditer(pattern, rendered):
            between, own = rendered[last : match.start()], shown[match.group()]
            last = match.end()
            size += len(between)
            events.append((match.group(), size, size + len(own)))
            size += len(own)
            plain += (between, own)
        return "".join([*plain, rendered[last:]]), events

    def _kept_blanks(
        self, changes: Changes, shown: dict[str, str], events: list[_Event]
    ) -> tuple[list[int], list[int]]:
        """Return how many blanks at the ends of the texts are shown before and after each mark.

        Blanks there may be the template's own; a rendering without the texts' blanks tells.
        """
        counts = []
        for strip in (str.lstrip, str.rstrip):
            bare = {k: strip(v) if isinstance(v, str) else v for k, v in changes.items()}
            plain, other = self._read(bare, shown) if bare != changes else (self._text, events)
            if plain is None or [e[0] for e in other] != [e[0] for e in events]:
                plain, other = self._text, events
            before = [a - b for (_, a, _), (_, b, _) in zip(events, other, strict=True)]
            before.append(len(self._text) - len(plain))
            counts.append(before)
        lead = [b - a for a, b in zip([0, *counts[0]], counts[0], strict=False)]
        trail = [b - a for a, b in zip(counts[1], counts[1][1:], strict=False)]
        return lead, trail

    def _word(
        self, part: Part, value: Any, events: list[_Event], first: int, last: int,
        blanks: tuple[list[int], list[int]],
    ) -> Word:  # fmt: skip
        """Return the word between two marks, with the ends of its text that the template kept."""
        text = self._text
        if not part.start:  # a name
            return Word(events[last][1] - len(part.words), events[last][1], part.path, part.role, 0)
        start, stop = events[first][1], events[last][2]  # a mark of a text has no width
        if not part.words or text[start:stop] != part.words:
            return Word(start, stop, part.path, part.role, None)
        offset = part.offset
        lead = shown_end(value[:offset], blanks[0][first])
        if text[:start].endswith(lead):
            start, offset = start - len(lead), offset - len(lead)
        trail = shown_end(value[part.offset + len(part.words) :], blanks[1][last], first=True)
        if text.startswith(trail, stop):
            stop += len(trail)
        return Word(start, stop, part.path, part.role, offset)

    def _joined(self, words: list[Word], value: Any) -> list[Word]:
        """Join the parts of one text where the text between them is in the message as well."""
        joined: list[Word] = []
        for word in sorted(words, key=lambda word: word.start):
            last = joined[-1] if joined else None
            if last and last.role == word.role and None not in (last.offset, word.offset):
                end = (last.offset or 0) + last.stop - last.start
                if value[end : word.offset] == self._text[last.stop : word.start]:
                    joined[-1] = Word(last.start, word.stop, word.path, word.role, last.offset)
                    continue
            joined.append(word)
        return joined

    def _find_changed(self, path: KeyPath, value: Any) -> Finding:
        """Return the characters that change with a text which no mark finds."""
        if not isinstance(value, str) or path[-1] == NAME:
            return Finding()
        core = value.strip()
        mark = next(self._marks)
        changed = value.replace(core, mark * len(core))
        role = "reasoning" if path[-1] in KEYS else "content"
        spans = self._changed_span(path, changed)
        if not spans:
            return Finding(missing=[role])
        start, stop = spans[0]
        at = value.find(self._text[start:stop])
        if at >= 0 and self._text[start:stop].strip() == core:
            return Finding([Word(start, stop, path, role, at)])
        if not is_written(path):  # an id that the template reads: nothing that people wrote
            return Finding()
        return Finding(
            [Word(start, stop, path, role, None)],
            doubt="all text that depends on it counts as content, even template text in between",
        )

    def _changed_span(self, path: KeyPath, other: Any) -> list[Span]:
        """Return the span from the first to the last character that changes with a value.

        Empty where nothing changes; the complete text where it cannot be rendered with `other`.
        """
        text = self._text
        changed = self._render(self._conversation.with_changes({path: other}))
        if changed is None:
            return [(0, len(text))]
        if changed == text:
            return []
        shorter = min(len(text), len(changed))
        start = next((i for i in range(shorter) if text[i] != changed[i]), shorter)
        rest = shorter - start
        stop = next((i for i in range(rest) if text[-1 - i] != changed[-1 - i]), rest)
        return [(start, len(text) - stop)] if start + stop < len(text) else []


def _pairs(part: Part, at: Mapping[str, list[int]]) -> list[tuple[int, int]] | None:
    """Return the numbers of the events of a part's marks; None where they are no pairs."""
    starts, stops = at.get(part.start or part.stop, []), at.get(part.stop, [])
    if len(starts) != len(stops):
        return None
    pairs = list(zip(starts, stops, strict=True))
    return pairs if all(first <= last for first, last in pairs) else None
