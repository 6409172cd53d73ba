"""In which direction tokens are read: those of Arabic, Hebrew and the like from right to left."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from attentropy.report.content.words import TextWord, TokenWord

LEFT_TO_RIGHT, RIGHT_TO_LEFT = "ltr", "rtl"
_STRONG = ("L", "R", "AL")
_OF_TEMPLATE = ("template", "bos", "eos")


def direction(tokens: Sequence[TokenWord]) -> str:
    """Return the direction of a text by the first letter of its words that has one.

    The template's tokens, which are markers and names in English, do not count.
    """
    return _first_strong(
        c for token in tokens if token.role not in _OF_TEMPLATE for c in token.text
    )


def runs(tokens: Sequence[TokenWord]) -> list[tuple[str, list[TokenWord]]]:
    """Return tokens in runs of the words of one message, or of a template, each with its direction.

    Every token is a box of its own on the page, and boxes alone have no direction.
    """
    groups = [list(run) for _, run in groupby(tokens, lambda token: token.role in _OF_TEMPLATE)]
    return [(direction(run), run) for run in groups]


def words_direction(words: Sequence[TextWord]) -> str:
    """Return the direction of the first letter that has one, whatever its role."""
    return _first_strong(c for word in words for token in word.tokens for c in token.text)


def direction_groups(words: Sequence[TextWord], base: str) -> list[tuple[str, list[TextWord]]]:
    """Return words in groups of one direction, in a text whose direction is `base`.

    Words without a letter belong to the other direction only between two words of it, as Unicode's
    algorithm has it.
    """
    groups: list[tuple[str, list[TextWord]]] = []
    waiting: list[TextWord] = []  # without a letter, after words of the other direction
    for word in words:
        own = _own_direction(word)
        if groups and groups[-1][0] != base:
            if own is None:
                waiting.append(word)
                continue
            if own == base:
                groups.append((base, [*waiting, word]))
            else:
                groups[-1][1].extend([*waiting, word])
            waiting = []
            continue
        way = own or base
        if groups and groups[-1][0] == way:
            groups[-1][1].append(word)
        else:
            groups.append((way, [word]))
    if waiting:
        groups.append((base, waiting))
    return groups


def _own_direction(word: TextWord) -> str | None:
    """Return the direction of a word's first letter that has one; None without such a letter."""
    kinds = [unicodedata.bidirectional(c) for token in word.tokens for c in token.text]
    if not any(kind in _STRONG for kind in kinds):
        return None
    return words_direction([word])


def _first_strong(letters: Iterable[str]) -> str:
    """Return the direction of the first letter that has one; left to right without any."""
    kinds = map(unicodedata.bidirectional, letters)
    first = next((kind for kind in kinds if kind in _STRONG), "L")
    return LEFT_TO_RIGHT if first == "L" else RIGHT_TO_LEFT
