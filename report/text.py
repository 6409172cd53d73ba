"""Token text as a reader recognises it: blanks visible, long ones cut, nothing invisible."""

from __future__ import annotations

import unicodedata

# Isolation: a right-to-left token keeps its own order and leaves its neighbours'.
_ISOLATE, _POP = "\u2068", "\u2069"
_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u2028": "⏎", "\u2029": "⏎", "\u00a0": "⍽"}


_MOST = 8  # characters to a column that are looked at: an accent takes none, a thousand take a page


def visible(text: str) -> str:
    """`text` with every blank and control character drawn as a mark; a leading space is `_`."""
    if not text:
        return "·"
    lead = "_" if text[0] == " " and len(text) > 1 else ""
    return lead + _marked(text[1:] if lead else text)


_STACKED = 6  # accents on one letter; more would be drawn over the lines above and below


def _marked(text: str, kept: str = "") -> str:
    """Every character but those of `kept` as what is seen of it; of accents on one letter the first
    ones and how many more there are."""
    found: list[str] = []
    stacked = 0
    for character in f"{text}\0":  # whatever ends the last letter
        if unicodedata.combining(character):
            stacked += 1
            if stacked > _STACKED:
                continue
        elif stacked:
            found += [f"⟨+{stacked - _STACKED}⟩"] if stacked > _STACKED else []
            stacked = 0
        found.append(character if character in kept else _mark(character))
    return "".join(found[:-1])


_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))


def _mark(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    category = unicodedata.category(character)
    if category in _UNSEEN and character != "\u200d":
        return f"⟨{ord(character):X}⟩"
    return character


def plain(text: str) -> str:
    """`text` for a terminal: blanks stay, every other control character is drawn as a mark."""
    return _marked(text, " ")


def width(text: str) -> int:
    """Columns that `text` takes in a fixed-width font: wide characters count two, marks none."""
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pair(one: str, other: str, columns: int) -> str:
    """Two texts in one label of `columns`, `one→other`; one of them where they are the same."""
    if one == other:
        return short(one, columns)
    if columns < 5:
        return "≠"
    room = columns - 1
    sizes = [width(visible(text)) for text in (one, other)]
    # What the shorter one leaves of its half is the other's.
    first = min(sizes[0], max(room // 2, room - sizes[1]))
    return f"{short(one, first)}→{short(other, room - first)}"


def stacked(one: str, other: str, columns: int) -> str | list[str]:
    """Two texts in lines of `columns`, one upon the other; one line where both fit into it."""
    if one == other or width(visible(one)) + width(visible(other)) < columns:
        return pair(one, other, columns)
    return [short(one, columns), short(other, columns)]


def ends(text: str, columns: int) -> str:
    """The visible text cut to `columns` in its middle, so that its beginning and its end are told;
    cut at its end where the beginning alone tells more."""
    shown, tail = visible(text[: _MOST * columns]), (columns - 1) // 3
    if tail < 2 or width(shown) <= columns or len(text) > _MOST * columns:
        return short(text, columns)
    last = _first(shown[::-1], tail)[::-1]
    return _isolated(f"{_first(shown, columns - 1 - tail)}…{last}")


def short(text: str, columns: int) -> str:
    """The visible text cut to `columns`, the cut shown by `…`; right-to-left text isolated."""
    looked_at = text[: _MOST * columns]
    shown = visible(looked_at)
    if width(shown) > columns or looked_at != text:
        shown = _first(shown, columns - 1) + "…"
    return _isolated(shown)


def _first(shown: str, columns: int) -> str:
    kept, used = "", 0
    for character in shown:
        if used + _width(character) > columns:
            break
        kept += character
        used += _width(character)
    return kept


def named(text: str, most: int = 120) -> str:
    """`text` in a sentence of the page: control characters as marks, at most `most` characters,
    right-to-left text isolated."""
    return _isolated(plain(text[:most]) + ("…" if len(text) > most else ""))


def flowing(text: str, most: int = 400) -> str:
    """`text` as it stands in a prompt: blanks and line ends as they are, every other control
    character as a mark, and of more than `most` characters the first ones and how many there are.
    """
    kept = _marked(text[:most], " \n\t")
    return kept if len(text) <= most else f"{kept}… ({len(text):,} characters)"


def _isolated(shown: str) -> str:
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in shown):
        return f"{_ISOLATE}{shown}{_POP}"
    return shown


def full(text: str) -> str:
    """What a tooltip says of a token."""
    shown = visible(text[: _FULL_TEXT + 1])
    return shown if len(shown) <= _FULL_TEXT else shown[:_FULL_TEXT] + "…"


_FULL_TEXT = 120
