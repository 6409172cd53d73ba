"""Texts as arrays of strings, and numbers with their nouns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from attentropy.engine.trace.types import Array


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, `1 token` or `2,048 tokens`; `plural` where `s` is not it."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def text_array(values: Iterable[str]) -> Array:
    """Return texts of any length as a string array, [n].

    Half of a surrogate pair is not text: it is written as a backslash escape.
    """
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in values]
    return np.array(texts, dtype=np.dtypes.StringDType())
