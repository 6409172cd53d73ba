"""Which characters of a rendered chat are the messages' words: rendered again, words marked.

What lies between two marks is content, provided that the marks change nothing else. Where a
template does not leave words as they are, the characters that change with them are content.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from attentropy.engine.prompt.messages import Change, KeyPath, Message, value_at, with_changes
from attentropy.engine.prompt.tokens import Span

# Renders messages; None where the template fails on them.
Render: TypeAlias = Callable[[list[Message]], str | None]

_FIRST_MARK = 0x2A000
_TAG = re.compile(r"(<[^<>]*>)")


def free_marks(*texts: str) -> tuple[str, str]:
    """Return two characters that occur in none of the texts.

    No filter of a template escapes, folds or strips them.
    """
    rare = (chr(code) for code in count(_FIRST_MARK))
    marks = (mark for mark in rare if not any(mark in text for text in texts))
    return next(marks), next(marks)


@dataclass
class WordFinder:
    """Finds words of `messages` in `text`, their plain rendering, by rendering them with changes.

    marks: two characters that occur neither in the messages nor in the text.
    """

    render: Render
    text: str
    messages: list[Message]
    marks: tuple[str, str]

    def find_all(self, leaves: list[tuple[KeyPath, str]]) -> list[Span] | None:
        """Return the spans of all texts, from one rendering.

        None where a content is not in the text as it was given.
        """
        for strip in (False, True):
            words = [(path, value.strip() if strip else value) for path, value in leaves]
            if strip and self._render_with(words) != self.text:
                return None
            spans = self._marked_spans([(path, self._mark(value)) for path, value in words])
            between = {self.text[start:stop] for start, stop in spans or []}
            contents = {value for path, value in words if path[1] == "content"}
            if contents <= between <= {value for _, value in words}:
                return spans
        return None

    def find(self, path: KeyPath) -> tuple[list[Span], str]:
        """Return the spans of one text, and what is doubtful about them ("" for nothing)."""
        value = value_at(self.messages, path)
        if not isinstance(value, str):
            return self._changed_span(path, {self.marks[0]: self.marks[1]}), ""
        for strip in (str.lstrip, str.rstrip):  # blanks that the template trims are not in the text
            if self._render_with([(path, strip(value))]) == self.text:
                value = strip(value)
        marked = self._marked_spans([(path, self._mark(value))])
        if marked is not None and all(self.text[a:b] == value for a, b in marked):
            return marked, ""
        pieces = self._marked_spans([(path, self._mark_between_tags(value))])
        if pieces and all(self.text[a:b] in value for a, b in pieces):
            return self._join(pieces, value), ""
        if marked is not None:
            return marked, "its tokens are those of the rewritten text"
        changed = self._changed_span(path, self.marks[0] * len(value))
        if all(self.text[a:b] == value for a, b in changed):
            return changed, ""
        return (
            changed,
            "all text that depends on it counts as content, even template text in between",
        )

    def _render_with(self, changes: list[Change]) -> str | None:
        return self.render(with_changes(self.messages, changes))

    def _mark(self, words: str) -> str:
        return f"{self.marks[0]}{words}{self.marks[1]}"

    def _mark_between_tags(self, value: str) -> str:
        """Mark each part between tags: many templates cut a message after its reasoning block."""
        parts = _TAG.split(value)
        for i, part in enumerate(parts):
            if core := part.strip():
                parts[i] = part if i % 2 else part.replace(core, self._mark(core), 1)
        return "".join(parts)

    def _join(self, pieces: list[Span], value: str) -> list[Span]:
        """Join neighbouring pieces with the text between them, where the message has it so."""
        joined = [pieces[0]]
        for start, stop in pieces[1:]:
            if self.text[joined[-1][0] : stop] in value:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        return joined

    def _marked_spans(self, changes: list[Change]) -> list[Span] | None:
        """Return the spans between pairs of marks.

        None where the marks change anything else, or do not come in pairs.
        """
        start, stop = self.marks
        marked = self._render_with(changes)
        if marked is None or re.sub(f"[{start}{stop}]", "", marked) != self.text:
            return None
        places = list(re.finditer(f"[{start}{stop}]", marked))
        if "".join(place.group() for place in places) != (start + stop) * (len(places) // 2):
            return None
        at = [place.start() - i for i, place in enumerate(places)]
        return list(zip(at[::2], at[1::2], strict=True))

    def _changed_span(self, path: KeyPath, other: Any) -> list[Span]:
        """Return the span from the first to the last character that changes with a value.

        Empty where nothing changes; the complete text where it cannot be rendered with `other`.
        """
        text, changed = self.text, self._render_with([(path, other)])
        if changed is None:
            return [(0, len(text))]
        if changed == text:
            return []
        shorter = min(len(text), len(changed))
        start = next((i for i in range(shorter) if text[i] != changed[i]), shorter)
        rest = shorter - start
        stop = next((i for i in range(rest) if text[-1 - i] != changed[-1 - i]), rest)
        return [(start, len(text) - stop)] if start + stop < len(text) else []
