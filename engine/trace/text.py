"""Texts as arrays of strings, and numbers with their nouns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np

from attentropy.engine.trace.types import Array


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, `1 token` or `2,048 tokens`; `plural` where `s` is not it."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def isolated(text: str) -> str:
    """Return a text between bidirectional isolates if it has right-to-left letters.

    It keeps its own order then, and does not reorder its neighbours.
    """
    is_mixed = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text)
    return f"\u2068{text}\u2069" if is_mixed else text


def text_array(values: Iterable[str]) -> Array:
    """Return texts of any length as a string array, [n].

    Half of a surrogate pair is not text: it is written as a backslash escape.
    """
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in values]
    return np.array(texts, dtype=np.dtypes.StringDType())
