"""Texts that are hard to show: without ink, too tall, too wide, without a blank."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence

# As in the Unicode Character Database, written down independently of the program's own table.
IGNORABLE = [
    *map(chr, (0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0)),
    *map(chr, range(0x180B, 0x1810)), *map(chr, range(0x200B, 0x2010)),
    *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2060, 0x2070)),
    *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xFFF0, 0xFFF9)),
    *map(chr, range(0x1BCA0, 0x1BCA4)), *map(chr, range(0x1D173, 0x1D17B)),
    *map(chr, range(0xE0000, 0xE0080)), *map(chr, range(0xE0100, 0xE01F0)),
]  # fmt: skip
BLANKS = [
    *map(chr, (0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F)),
    "\u3000", "\u2800", "\U0001d159", "\ufffc",
]  # fmt: skip
CONTROLS = [*map(chr, (*range(0x20), *range(0x7F, 0xA0))), "\ue000", "\U0010ffff", "\ufffe"]
MARKS = [chr(i) for i in range(0x300, 0x370) if i != 0x34F] + [
    "\u0489",
    "\u20dd",
    "\u20e3",
    "\u0e49",
]
WIDE = ["\ufdfd", "\U0001242b", "\U00012219", "\ufdfa", "\u2e3b", "\u0bf5", "\U00012031", "W"]
EMOJI = [
    "👩\u200d👩\u200d👧", "❤\ufe0f", "☺\ufe0e", "1\ufe0f\u20e3", "🏳\ufe0f\u200d🌈", "👍🏽", "🇩🇪",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🐈\u200d⬛",
    "🙂\u200d↔\ufe0f",
]  # fmt: skip
WORDS = [
    "capital", " of", "Australia", "می\u200cخواهم", "क्\u200dष", "ශ්\u200dරී", "שלום", "مرحبا",
    "日本語",
    "한국어", "สวัสดี", "ไม่", "é", "e\u0301", "ﬁ", "Ⅳ", "x=1;", "</b>", "ﷺ", "ᚠᚢ", "ꦄ", "𓀀", "་བོད",
]  # fmt: skip


def _many(chance: random.Random, characters: Sequence[str], most: int) -> str:
    return "".join(chance.choices(characters, k=chance.randint(1, most)))


def _within(chance: random.Random, characters: Sequence[str]) -> str:
    word = chance.choice(WORDS)
    at = chance.randint(0, len(word))
    return word[:at] + _many(chance, characters, 3) + word[at:]


def _endless(chance: random.Random) -> str:
    return chance.choice(("W", "字", "\u0301a", "𒐫", "ـ")) * chance.randint(1000, 100_000)


def _selected(chance: random.Random) -> str:
    return _within(chance, [*EMOJI, "\ufe0f", "\u200d", "\U000e0061", "\U000e007f"])


def _any(chance: random.Random) -> str:
    ranges = ((0x20, 0x3000), (0, 0x110000))
    return "".join(
        chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randint(1, 12))
    )


KINDS: dict[str, Callable[[random.Random], str]] = {
    "ignorable characters alone": lambda chance: _many(chance, IGNORABLE, 4),
    "ignorable characters in a word": lambda chance: _within(chance, IGNORABLE),
    "blanks": lambda chance: _many(chance, BLANKS, 5),
    "controls": lambda chance: _within(chance, CONTROLS),
    "towers of accents": lambda chance: chance.choice(WORDS) + _many(chance, MARKS, 500),
    "accents alone": lambda chance: _many(chance, MARKS, 12),
    "very wide characters": lambda chance: _many(chance, WIDE, 40),
    "a text without a blank": _endless,
    "emoji": lambda chance: _many(chance, EMOJI, 6),
    "emoji and selectors": _selected,
    "any characters": _any,
}


def text(number: int) -> str:
    """Return text `number`, the same each time; single halves of surrogate pairs are left out."""
    kind = list(KINDS)[number % len(KINDS)]
    text = KINDS[kind](random.Random(number))
    return "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000) or "\u3164"


def kind_of(number: int) -> str:
    """Return what kind of text a number gives."""
    return list(KINDS)[number % len(KINDS)]


HIDDEN = {*IGNORABLE, *BLANKS, *CONTROLS} - {" "}


def hidden_in(shown: str, besides: str = "") -> list[str]:
    """Return the characters without ink in a text that is shown, besides those of `besides`.

    A joiner or a selector may follow a symbol, a keycap or a letter of a script that joins; the
    isolates around a text from right to left are the page's own.
    """
    out = []
    for i, c in enumerate(shown):
        if c in besides or c in "\u2068\u2069":
            continue
        before = shown[i - 1] if i else ""
        if c in "\u200c\u200d\ufe0e\ufe0f" and before and _holds(before):
            continue
        if "\U000e0020" <= c <= "\U000e007f" and "\U0001f3f4" in shown[max(0, i - 7) : i]:
            continue
        if c in HIDDEN or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
            out.append(f"U+{ord(c):04X}")
    return out


def _holds(before: str) -> bool:
    category = unicodedata.category(before)
    is_symbol = category[0] == "S" or before in "0123456789#*\u203c\u2049\u2139\u3030\ufe0f"
    return (
        is_symbol or category == "Cn" or (ord(before) >= 0x600 and category in ("Lo", "Mn", "Mc"))
    )
