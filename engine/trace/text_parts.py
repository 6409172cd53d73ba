"""Where paragraphs and sentences of a text begin.

Sentences are those of Unicode's default boundaries (UAX 29): Chinese and Arabic marks end one, and
so does every line break, which suits code and lists.
"""

from __future__ import annotations

import re

import regex

_BLANK_LINE = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_ITEM = re.compile(r"^[^\S\n]*(?:\[\d+\]|\(\d+\)|\d+[.)](?=\s)|[-*•](?=\s))", re.MULTILINE)
_LEAST_ITEMS = 2
_QUESTION = re.compile(r"[?？؟՞]\W*$")

_LINE_BREAKS = "\n\r\x85\u2028\u2029"
# SB5: marks and format characters belong to the character before them.
_X = r"[\p{SB=EX}\p{SB=FO}]*+"
_NO_LETTER = r"[^\p{SB=LE}\p{SB=UP}\p{SB=LO}\p{SB=SE}\p{SB=CR}\p{SB=LF}\p{SB=ST}\p{SB=AT}]"
_CLOSED = rf"(?:\p{{SB=CL}}{_X})*+(?:\p{{SB=SP}}{_X})*+"
_LINE_END = r"(?:\r\n|[\p{SB=SE}\p{SB=CR}\p{SB=LF}])"
_SENTENCE_END = regex.compile(
    rf"(?:\p{{SB=ST}}{_X}|\p{{SB=AT}}{_X}"
    rf"(?!\p{{SB=NU}})"  # SB6
    rf"(?!(?<=[\p{{SB=UP}}\p{{SB=LO}}]{_X}\p{{SB=AT}}{_X})\p{{SB=UP}})"  # SB7
    rf"(?!{_CLOSED}{_NO_LETTER}*+\p{{SB=LO}}))"  # SB8
    rf"{_CLOSED}(?:{_LINE_END}|(?![\p{{SB=SC}}\p{{SB=ST}}\p{{SB=AT}}]))"  # SB8a to SB11
    rf"|{_LINE_END}",  # SB4
    regex.VERSION1,
)


def sentence_starts(text: str) -> list[int]:
    """Return the places, in characters, at which a sentence begins; 0 and those after it.

    A part that says nothing by itself, such as the number of a list's item, belongs to the sentence
    after it.
    """
    starts, begin = [0], 0
    has_words = False
    for match in _SENTENCE_END.finditer(text):
        stop = match.end()
        part = text[begin:stop]
        is_line = part[-1:] in _LINE_BREAKS
        has_words |= any(map(str.isalnum if is_line else str.isalpha, part))
        begin = stop
        if has_words and stop < len(text):
            starts.append(stop)
            has_words = False
    return starts


def paragraph_starts(text: str) -> list[int]:
    """Return the places, in characters, at which a paragraph begins; 0 and those after it.

    Paragraphs are cut at blank lines. The items of a numbered or dashed list are paragraphs, and so
    are a first line that ends with a colon and a last line that ends with a question mark.
    """
    starts = {0}
    cuts = [*_BLANK_LINE.finditer(text)]
    begins = [0, *(cut.end() for cut in cuts)]
    ends = [*(cut.start() for cut in cuts), len(text)]
    for begin, end in zip(begins, ends, strict=True):
        if begin < len(text):
            starts.add(begin)
        starts.update(begin + place for place in _starts_of_lines(text[begin:end]))
    return sorted(starts)


def _starts_of_lines(paragraph: str) -> set[int]:
    """Return where lines of a paragraph are paragraphs of their own."""
    items = [match.start() for match in _ITEM.finditer(paragraph)]
    starts = set(items if len(items) >= _LEAST_ITEMS else ())
    first, _, rest = paragraph.partition("\n")
    if rest.strip() and first.rstrip().endswith((":", "：")):
        starts.add(len(first) + 1)
    before, _, last = paragraph.rstrip().rpartition("\n")
    if before.strip() and is_question(last) and len(before) + 1 not in items:
        starts.add(len(before) + 1)
    return starts


def is_question(text: str) -> bool:
    """Return whether a text ends with a question mark."""
    return _QUESTION.search(text.rstrip()) is not None


def is_item(text: str) -> bool:
    """Return whether a text begins with the number or the dash of a list's item."""
    return _ITEM.match(text.lstrip("\n")) is not None
