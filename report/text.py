"""Token text as a reader recognises it: nothing in it is invisible, long texts are cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from attentropy.engine.trace.bidi import isolated
from attentropy.report.inkless import (
    drawn_together,
    is_accent,
    leaves_no_ink,
    shown_with_neighbours,
)

_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u2028": "⏎", "\u2029": "⏎", "\u00a0": "⍽"}
_ACCENTS_SHOWN = 4  # per letter; more would be drawn over the lines above and below
# Characters read per column of room: an accent takes no column, so a text of a thousand accents
# would otherwise be read and written as a whole.
_CHARACTERS_PER_COLUMN = 8
_TOOLTIP_CHARACTERS = 120
_ISOLATES = dict.fromkeys((0x2068, 0x2069))  # which `isolated` writes around a text
# Single characters that are drawn as a phrase or as a row of signs; the script has the same.
_VERY_WIDE = {
    "\ufdfa": 4, "\ufdfb": 4, "\ufdfd": 16, "\u2e3a": 4, "\u2e3b": 5, "\u0bf5": 4, "\u102a": 5,
    "\ua9c5": 4, "\U00012031": 6, "\U00012219": 8, "\U0001242a": 8, "\U0001242b": 10,
}  # fmt: skip
_ARROW = 2  # columns whose room the arrow takes between two texts
_REDACTED = re.compile(r"‹(?:\d+·)?(\w+)·(\d+)›")  # what stands for a token in a redacted trace


# A special token in the brackets of its vocabulary, and what says little of it.
_SPECIAL = re.compile(r"<[|｜](.+)[|｜]>|<((?:start|end|begin)_of_\w+|bos|eos|pad|unk|mask)>", re.S)
_SAYS_LITTLE = re.compile(r"[_▁](?:header_id|id|of[_▁]\w+)$")


def special_name(text: str) -> str:
    """Return a special token without its brackets and endings: `start`, `end`, `eot`, `im_start`.

    So special tokens stay apart where they are cut. Every other token stays as it is.
    """
    match = _SPECIAL.fullmatch(text)
    if not match:
        return text
    name = match[1] or match[2]
    return _SAYS_LITTLE.sub("", name) or name


def label(text: str, columns: int) -> str:
    """Return a token as the figure labels it, cut to `columns`; see `special_name`, `shorten`."""
    redacted = _REDACTED.fullmatch(text)
    if redacted and width(text) > columns:
        role, length = redacted[1], redacted[2]
        room = max(1, columns - len(length) - 1)
        return f"{role[:room]}·{length}" if columns > len(length) + 1 else length
    return shorten(special_name(text), columns)


def folded(text: str) -> str:
    """Return a token by which two that differ in blanks at their ends or in case are the same."""
    return text.strip().casefold()


def mark_whitespace(text: str) -> str:
    """Return `text` with marks for whitespace and for every character that leaves no ink.

    A leading space becomes `_`; an empty text becomes `·`. An accent without a letter stands on a
    dotted circle.
    """
    if not text:
        return "·"
    lead = "_" if text[0] == " " and len(text) > 1 else ""
    display = _mark_characters(text[1:] if lead else text)
    return lead + display if lead else _on_circle(display)


def for_terminal(text: str) -> str:
    """Return `text` for a terminal: spaces stay, every other control character becomes a mark."""
    return _on_circle(_mark_characters(text, " "))


def for_sentence(text: str, limit: int = 120) -> str:
    """Return `text` for a sentence of the page, with at most `limit` characters.

    Control characters become marks, and right-to-left text is isolated.
    """
    return isolated(for_terminal(text[:limit]) + ("…" if len(text) > limit else ""))


def cut(text: str, columns: int) -> str:
    """Return a text for a sentence (see `for_sentence`) cut to `columns`, "…" for the rest.

    A wide character takes two columns, a combining mark none; right-to-left text stays isolated.
    """
    if width(text) <= columns:
        return text
    plain = text.translate(_ISOLATES)
    if width(plain) <= columns:
        return text
    return isolated(f"{_fit(plain, max(1, columns - 1)).rstrip()}…")


def for_prompt(text: str, limit: int = 400) -> str:
    """Return `text` as it stands in a prompt: spaces and line ends stay as they are.

    Every other control character becomes a mark. A text of more than `limit` characters is cut, and
    its number of characters follows.
    """
    display = _mark_characters(text[:limit], " \n\t")
    return display if len(text) <= limit else f"{display}… ({len(text):,} characters)"


def for_tooltip(text: str) -> str:
    """Return the text of a token as a tooltip shows it, with at most 120 characters."""
    display = mark_whitespace(text[: _TOOLTIP_CHARACTERS + 1])
    return display if len(display) <= _TOOLTIP_CHARACTERS else display[:_TOOLTIP_CHARACTERS] + "…"


def width(text: str) -> int:
    """Return the columns that `text` takes in a fixed-width font.

    A wide character takes two columns, a combining mark none.
    """
    return sum(_character_width(character) for character in text)


def shorten(text: str, columns: int) -> str:
    """Return the visible text cut to `columns`; `…` stands for the rest.

    Right-to-left text is isolated.
    """
    start = text[: _CHARACTERS_PER_COLUMN * columns]
    display = mark_whitespace(start)
    if width(display) > columns or start != text:
        display = _fit(display, columns - 1) + "…"
    return isolated(display)


def shorten_middle(text: str, columns: int) -> str:
    """Return the visible text cut to `columns` in its middle: its start and its end stay.

    Where the room is too small for both, or the text is very long, only the start stays.
    """
    display = mark_whitespace(text[: _CHARACTERS_PER_COLUMN * columns])
    tail_columns = (columns - 1) // 3
    is_long = len(text) > _CHARACTERS_PER_COLUMN * columns
    if tail_columns < 2 or width(display) <= columns or is_long:
        return shorten(text, columns)
    parts = drawn_together(display)
    tail = "".join(reversed(_fitting(reversed(parts), tail_columns)))
    return isolated(f"{_fit(display, columns - 1 - tail_columns)}…{tail}")


def shorten_pair(one: str, other: str, columns: int) -> str:
    """Return two texts as one label of `columns`, `one→other`; one text if they are equal."""
    if one == other:
        return shorten(one, columns)
    if columns < 4 + _ARROW:
        return "≠"
    room = columns - _ARROW
    sizes = [width(mark_whitespace(text)) for text in (one, other)]
    # The room that the shorter text leaves of its half goes to the other text.
    first = min(sizes[0], max(room // 2, room - sizes[1]))
    return f"{shorten(one, first)}→{shorten(other, room - first)}"


def stack_pair(one: str, other: str, columns: int) -> str | list[str]:
    """Return two texts as two lines of `columns`, or as one line if both fit into it."""
    both = width(mark_whitespace(one)) + width(mark_whitespace(other))
    if one == other or both + _ARROW <= columns:
        return shorten_pair(one, other, columns)
    return [shorten(one, columns), shorten(other, columns)]


def _mark_characters(text: str, unchanged: str = "") -> str:
    """Return `text` with a mark for each invisible character that is not in `unchanged`.

    If a letter has more accents than can be drawn, their number replaces the rest.
    """
    if text.isascii() and text.isprintable():
        return text if " " in unchanged else text.replace(" ", _VISIBLE[" "])
    display: list[str] = []
    accents, in_sequence = 0, shown_with_neighbours(text)
    for i, character in enumerate(f"{text}\0"):  # the last character ends the last letter
        is_plain = i in in_sequence or character in unchanged
        if not is_plain and is_accent(character) and not leaves_no_ink(character):
            accents += 1
            if accents > _ACCENTS_SHOWN:
                continue
        elif accents:
            display += [f"⟨+{accents - _ACCENTS_SHOWN}⟩"] if accents > _ACCENTS_SHOWN else []
            accents = 0
        display.append(character if is_plain else _mark(character))
    return "".join(display[:-1])


def _on_circle(display: str) -> str:
    """Return the text on a dotted circle if it begins with an accent, which has no letter."""
    return f"◌{display}" if display and is_accent(display[0]) else display


def _mark(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    return f"⟨{ord(character):X}⟩" if leaves_no_ink(character) else character


def _character_width(character: str) -> int:
    if is_accent(character) or character == "\u200d":
        return 0
    if character in _VERY_WIDE:
        return _VERY_WIDE[character]
    if "\U00012000" <= character <= "\U0001254f":  # cuneiform
        return 3
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fit(display: str, columns: int) -> str:
    """Return as much of the start as fits into `columns`; no letter loses its accents."""
    return "".join(_fitting(drawn_together(display), columns))


def _fitting(parts: Iterable[str], columns: int) -> list[str]:
    """Return the first parts that fit into `columns`."""
    start, start_width = [], 0
    for part in parts:
        start_width += width(part)
        if start_width > columns:
            break
        start.append(part)
    return start


def has_letter(text: str) -> bool:
    """Return whether a text has a letter or a digit."""
    return any(unicodedata.category(letter)[0] in "LN" for letter in text)
