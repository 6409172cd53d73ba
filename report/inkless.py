"""Characters that leave no ink: which they are, and where they belong to something that does."""

from __future__ import annotations

import re
import unicodedata

# Categories of characters without ink: controls, format characters, surrogates, private and
# unassigned ones, and separators.
_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
# Default_Ignorable_Code_Point of Unicode 17 (DerivedCoreProperties.txt): fonts draw nothing for
# them, although some are letters (the Hangul fillers) or marks (the variation selectors).
_DEFAULT_IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Symbols and marks whose own picture is empty: the blank Braille cell, the null notehead, the
# Khitan filler, the place of an object, and two blanks of hieroglyphs.
_EMPTY_PICTURES = (0x2800, 0x1D159, 0x16FE4, 0xFFFC, 0x13441, 0x13442)
_WITHOUT_INK = re.compile(
    "["
    + "".join(f"{chr(first)}-{chr(last)}" for first, last in _DEFAULT_IGNORABLE)
    + "".join(map(chr, _EMPTY_PICTURES))
    + "]"
)

# What may hold a joiner or a selector that shows in the picture of its neighbours.
# Emoji of Unicode 17 (emoji-data.txt), beyond the first plane by blocks.
_PICTOGRAPH = (
    "[©®‼⁉™ℹ↔-↙↩↪⌚⌛⌨⏏⏩-⏳⏸-⏺Ⓜ▪▫▶◀◻-◾☀-☄☎☑☔☕☘☝☠☢☣☦☪☮☯☸-☺♀♂♈-♓♟♠♣♥♦♨♻♾♿⚒-⚗⚙⚛⚜⚠⚡⚧⚪⚫⚰⚱⚽⚾⛄⛅⛈⛎⛏⛑⛓⛔⛩⛪⛰-⛵⛷-⛺⛽"
    "✂✅✈-✍✏✒✔✖✝✡✨✳✴❄❇❌❎❓-❕❗❣❤➕-➗➡➰➿⤴⤵⬅-⬇⬛⬜⭐⭕〰〽㊗㊙\U0001f004\U0001f0cf\U0001f170-\U0001f19a"
    "\U0001f1e6-\U0001f251\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0\U0001f900-\U0001faff]"
)
_TONE_OR_SELECTOR = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"  # of a region
_PICTURE = f"(?:{_FLAG}|[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTOGRAPH}{_TONE_OR_SELECTOR}?)"
_EMOJI = f"[0-9#*]\ufe0f\u20e3|{_PICTURE}(?:\u200d{_PICTURE})*"
# Letters of scripts in which a joiner between two letters changes how these are drawn.
_JOINING = "[\u0620-\u06d3\u06fa-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17d3\u1820-\u18aa]"
_SEQUENCE = re.compile(f"{_EMOJI}|(?<={_JOINING})[\u200c\u200d](?={_JOINING})")
_JOINER = re.compile("[\u200c\u200d\ufe0e\ufe0f]|\U000e007f")


def leaves_no_ink(character: str) -> bool:
    """Return whether a character is drawn as nothing, or as a blank."""
    if " " < character < "\x7f":
        return False
    return (
        unicodedata.category(character) in _CATEGORIES or _WITHOUT_INK.match(character) is not None
    )


def shown_with_neighbours(text: str) -> frozenset[int]:
    """Return the indices of joiners and selectors that are part of a picture or of a word.

    These are within an emoji (of several people, in colour, the flag of a region), and between two
    letters of a script in which they change how these are drawn (Arabic, Devanagari, …).
    """
    if not _JOINER.search(text):
        return frozenset()
    return frozenset(i for match in _SEQUENCE.finditer(text) for i in range(*match.span()))


def drawn_together(text: str) -> list[str]:
    """Return the parts of a text that are drawn as one: a letter with its accents, an emoji."""
    if text.isascii():
        return list(text)
    ends = {match.start(): match.end() for match in _SEQUENCE.finditer(text)}
    parts, at = [], 0
    while at < len(text):
        stop = ends.get(at, at + 1)
        while stop < len(text) and (is_accent(text[stop]) or text[stop] in "\u200c\u200d"):
            stop += 1
        parts.append(text[at:stop])
        at = stop
    return parts


def is_accent(character: str) -> bool:
    """Return whether a character is drawn over, under or around the one before it."""
    return character >= "\u0300" and (
        unicodedata.combining(character) > 0 or unicodedata.category(character) in ("Mn", "Me")
    )
