"""Where words are in a text, and to which of them each token belongs: role, message, segment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from attentropy.engine.prompt.marks import Word
from attentropy.engine.prompt.messages import Conversation
from attentropy.engine.prompt.tokens import Span
from attentropy.engine.prompt.turns import Segment


@dataclass(frozen=True)
class Place:
    """A run of characters: role, message (-1 for none) and segment ("" for none)."""

    start: int
    stop: int
    role: str
    message: int = -1
    segment: str = ""


_TEMPLATE = Place(0, 0, "template")


def place_text(text: str, segments: Iterable[Segment]) -> list[Place]:
    """Return the places of a text that is all content."""
    return _cut(Place(0, len(text), "content"), 0, segments)


def place_words(
    words: Iterable[Word], conversation: Conversation, segments: Iterable[Segment]
) -> list[Place]:
    """Return the places of the words of a chat; `segments` are those of its last message."""
    last_content = ("messages", len(conversation.messages) - 1, "content")
    places: list[Place] = []
    for word in words:
        message, segment = conversation.sources(word.path)
        place = Place(word.start, word.stop, word.role, message, segment)
        if word.path[:3] == last_content and word.offset is not None:
            places += _cut(place, word.offset, segments)
        else:
            places.append(place)
    return places


def place_tokens(spans: list[Span], places: list[Place]) -> list[Place]:
    """Return for each token the first place that it has a character of; both are in order.

    Tokens of the template between two places of one message, or of one segment, belong to it too.
    """
    own_places: list[Place | None] = []
    between: list[tuple[int, int]] = []  # of each token: the places before and after it
    at = 0
    for start, stop in spans:
        while at < len(places) and places[at].stop <= start:
            at += 1
        inside = start < stop and at < len(places) and places[at].start < stop
        own_places.append(places[at] if inside else None)
        between.append((at - 1, at))
    tokens = []
    for place, (i, j) in zip(own_places, between, strict=True):
        if place is None:
            place = _TEMPLATE
            if 0 <= i < j < len(places):
                before, after = places[i], places[j]
                message = before.message if before.message == after.message else -1
                segment = before.segment if before.segment == after.segment else ""
                place = replace(place, message=message, segment=segment)
        tokens.append(place)
    return tokens


def _cut(place: Place, offset: int, segments: Iterable[Segment]) -> list[Place]:
    """Return a place cut at the segments of its text; offset: where it begins in that text."""
    places = []
    start = place.start
    for segment in segments:
        first = max(start, place.start + segment.start - offset)
        stop = min(place.stop, place.start + segment.stop - offset)
        if first < stop:
            if start < first:
                places.append(replace(place, start=start, stop=first))
            places.append(replace(place, start=first, stop=stop, segment=segment.name))
            start = stop
    return [*places, replace(place, start=start)] if start < place.stop else places
