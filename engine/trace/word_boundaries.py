"""Where words begin in a text, by the default word boundaries of Unicode (UAX 29).

Chinese characters stand alone, and `don't` and `3.14` are one word. What lies between words, such
as blanks and punctuation, has boundaries of its own.
"""

from __future__ import annotations

from itertools import pairwise

import regex

_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)


def word_boundaries(text: str) -> list[int]:
    """Return the places of a text, in characters, at which there is a word boundary."""
    return [match.start() for match in _BOUNDARY.finditer(text)]


def split_at_boundaries(text: str) -> list[str]:
    """Return the parts of a text between its word boundaries; together they are the text."""
    return [text[a:b] for a, b in pairwise([0, *word_boundaries(text), len(text)])]
