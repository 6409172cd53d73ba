"""Texts that are read from right to left, among others."""

from __future__ import annotations

import unicodedata


def isolated(text: str) -> str:
    """Return a text between bidirectional isolates if it has right-to-left letters.

    It keeps its own order then, and does not reorder its neighbours.
    """
    is_mixed = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text)
    return f"\u2068{text}\u2069" if is_mixed else text


def without_isolates(text: str) -> str:
    """Return a text without the isolates that `isolated` put around it."""
    inner = text[1:-1]
    return inner if text == isolated(inner) else text
