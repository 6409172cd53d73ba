"""Phrases that no text for a user may have, and what to say instead."""

from __future__ import annotations

import re

# A regular expression, with small letters -> the words to use.
FORBIDDEN: dict[str, str] = {
    r"\bbeside\b": "besides, next to, in addition to, or compared with",
    r"\blikeliest\b": "most likely, or top",
    r"\b(go|goes|going) on (with|to|at|in|from)\b": "continue",
    r"\banew\b": "again, or over",
    r"\bis none of\b|\bare none of\b": "is not one of, or is out of range",
    r"\bnot there\b": "does not exist, is missing, or is not installed",
    r"\bwhat is there\b": "an existing file, or an existing output",
    r"\bkept of\b": "recorded for, or kept from",
    r"\bvanish(es|ed)?\b": "no longer exists",
    r"\b(numbers|columns|pixels|tokens|values|row|rows|cell|cells) an? (layer|head|token|inch|row|"
    r"column|line|prompt)\b": "per layer, per head, …",
    r"\bone (row|cell|column|line|trace|value) an? \w+": "one row per layer",
    r"\brank 0\b": "rank 1: people count from 1",
    r"(?<!--)\brivals?\b(?![:'\w])": "alternative, baseline or method",
    r"\bblanks\b": "spaces",
    r"(?<!there )\bis no (number|size|text|name|folder|file|trace|model|choice|argument)\b":
        "is not a …",
    r"\bof the whole\b": "share",
    r"\bfrom layer \d+ on\b(?!ward)": "from layer 3 onward",
    r"\bfurthest from it\b|\bof yours\b|\bthereof\b|\bwherein\b": "say it plainly",
    r"(?<![\d.,])\b1 (layers|tokens|heads|positions|chunks|keys|queries|columns|tiles|passes|steps|"
    r"rows|cells|days|bytes|sequences)\b": "1 layer: use `count`",
    r"\((\w[\w ]*)\) \(\1\)": "the same word twice",
}  # fmt: skip


def phrases_in(text: str) -> list[tuple[str, str]]:
    """Return what is forbidden in a text: the words found, and what to say instead.

    What stands in ‹ › is code, which a value replaces.
    """
    text = re.sub("‹[^›]*›", "‹›", text).lower()
    return [
        (match[0], instead)
        for pattern, instead in FORBIDDEN.items()
        for match in re.finditer(pattern, text)
    ]
