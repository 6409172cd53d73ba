"""In which direction tokens are read: those of Arabic, Hebrew and the like from right to left."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby

from attentropy.report.content.words import TokenWord

LEFT_TO_RIGHT, RIGHT_TO_LEFT = "ltr", "rtl"
_OF_TEMPLATE = ("template", "bos", "eos")


def direction(tokens: Sequence[TokenWord]) -> str:
    """Return the direction of a text by the first letter of its words that has one.

    The template's tokens, which are markers and names in English, do not count.
    """
    letters = (c for token in tokens if token.role not in _OF_TEMPLATE for c in token.text)
    kinds = map(unicodedata.bidirectional, letters)
    first = next((kind for kind in kinds if kind in ("L", "R", "AL")), "L")
    return LEFT_TO_RIGHT if first == "L" else RIGHT_TO_LEFT


def runs(tokens: Sequence[TokenWord]) -> list[tuple[str, list[TokenWord]]]:
    """Return tokens in runs of the words of one message, or of a template, each with its direction.

    Every token is a box of its own on the page, and boxes alone have no direction.
    """
    groups = [list(run) for _, run in groupby(tokens, lambda token: token.role in _OF_TEMPLATE)]
    return [(direction(run), run) for run in groups]
