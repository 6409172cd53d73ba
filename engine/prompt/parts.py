"""The parts of a text that get marks of their own: around reasoning markers, and between tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from attentropy.engine.prompt.messages import Conversation, KeyPath
from attentropy.engine.prompt.reasoning import KEYS, has_marker, split_reasoning
from attentropy.engine.prompt.tokens import Span

_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Part:
    """A part of a leaf, and the marks that were put around it (one number in place of a number)."""

    path: KeyPath
    role: str
    offset: int
    words: str
    start: str
    stop: str


def is_written(path: KeyPath) -> bool:
    """Return whether a text is one whose loss is told: content or reasoning of a message."""
    return path[0] == "messages" and len(path) > 2 and path[2] in ("content", *KEYS)


def cut_text(
    path: KeyPath, value: str, conversation: Conversation, cut_tags: bool
) -> Iterator[tuple[str, Span]]:
    """Yield the parts of a text that get marks of their own: role, start and stop."""
    runs: list[tuple[str, Span]] = [("content", (0, len(value)))]
    if path[-1] in KEYS:
        runs = [("reasoning", (0, len(value)))]
    elif is_written(path) and conversation.messages[path[1]].get("role") == "assistant":
        runs = split_reasoning(value) or runs
    for role, (start, stop) in runs:
        cuts = [start, stop]
        if cut_tags:
            tags = [match.span() for match in _TAG.finditer(value, start, stop)]
            cuts = [start, *(at for tag in tags for at in tag), stop]
        pieces = [_core(value, a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        pieces = [(a, b) for a, b in pieces if a < b] or [_core(value, start, stop)]
        yield from ((role, piece) for piece in pieces)


def _core(value: str, start: int, stop: int) -> Span:
    """Return the span without the blanks at its ends."""
    text = value[start:stop]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


def marked(value: str, parts: list[Part]) -> str:
    pieces = []
    at = 0
    for part in parts:
        pieces += [value[at : part.offset], part.start, part.words, part.stop]
        at = part.offset + len(part.words)
    return "".join([*pieces, value[at:]])


def shown_end(outside: str, blanks: int, *, first: bool = False) -> str:
    """Return the text next to a part that is shown with it: spaces or tags.

    first: whether the part is before that text, so that its first spaces stay.
    """
    blanks = max(0, min(blanks, len(outside)))
    if not outside.strip():
        return outside[:blanks] if first else outside[len(outside) - blanks :]
    if _TAG.sub("", outside).strip() or has_marker(outside):
        return ""
    return outside
