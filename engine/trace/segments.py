"""Segments: parts of a prompt with a name, given as characters or as their own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from attentropy.engine.errors import UsageError

# The segments of a document and of the question that follows it.
DOCUMENT, QUESTION = "document", "question"

_FORM = 'a name for each part: {"name": [start, stop]} in characters, or {"name": "its words"}'


def segment_names(
    texts: Sequence[str], roles: Sequence[str], segments: Mapping[str, Any]
) -> list[str]:
    """Return the name of each token's segment, "" for none.

    A segment has characters [start, stop] of the words, those of all content tokens one after the
    other, or is given as its own words, which must occur once. A token belongs to the segment that
    has one of its characters. Raises `UsageError`.
    """
    if not isinstance(segments, Mapping) or not segments:
        raise UsageError(f"`segments` must be {_FORM}")
    is_text = np.array([role == "content" for role in roles], bool)
    tokens = [t if own else "" for t, own in zip(texts, is_text, strict=True)]
    text = "".join(tokens)
    ends = np.array([*accumulate(map(len, tokens))], np.int64)
    starts = ends - [len(token) for token in tokens]
    names = [""] * len(tokens)
    for name, part in segments.items():
        start, stop = _span(name, part, text)
        own = np.flatnonzero(is_text & (starts < stop) & (ends > start))
        for i in own.tolist():
            if names[i]:
                raise UsageError(f"`segments`: {names[i]!r} and {name!r} share a token")
            names[i] = name
    for i in range(1, len(names)):  # the rest of a character belongs to its first token
        if is_text[i] and not tokens[i]:
            names[i] = names[i - 1]
    return names


def check_whole_tokens(
    texts: Sequence[str], roles: Sequence[str], segments: Mapping[str, Any]
) -> None:
    """Raise `UsageError` where a segment begins or ends within a token, blanks aside."""
    tokens = [t if role == "content" else "" for t, role in zip(texts, roles, strict=True)]
    text, ends = "".join(tokens), [*accumulate(map(len, tokens))]
    for name, part in segments.items():
        start, stop = _span(name, part, text)
        for token, end in zip(tokens, ends, strict=True):
            letters = token.strip()
            first = end - len(token.lstrip()) if letters else end
            if any(first < edge < first + len(letters) for edge in (start, stop)):
                raise UsageError(
                    f"`segments`: {name!r} splits the token {letters!r}; move its start or stop"
                )


def _span(name: Any, part: Any, text: str) -> tuple[int, int]:
    """Return the characters of one segment. Raises `UsageError`."""
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"`segments` must be {_FORM}")
    if isinstance(part, str) and part:
        times = text.count(part)
        if times != 1:
            where = f"{times} times" if times else "nowhere"
            raise UsageError(
                f"`segments`: the words of {name!r} are {where} in the prompt; give "
                "[start, stop] in characters"
            )
        return text.index(part), text.index(part) + len(part)
    is_pair = isinstance(part, (list, tuple)) and len(part) == 2
    if not is_pair or not all(type(end) is int for end in part):
        raise UsageError(f"`segments` must be {_FORM}")
    start, stop = part
    if not 0 <= start < stop <= len(text):
        raise UsageError(
            f"`segments`: {name!r} is [{start}, {stop}], but the prompt has characters 0 to "
            f"{len(text)}"
        )
    return start, stop
