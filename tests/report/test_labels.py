"""Characters without ink are marked, by the properties that Unicode gives them."""

import sys
import unicodedata

import pytest
from label_checks import wrong_forms
from label_texts import BLANKS, CONTROLS, EMOJI, IGNORABLE, KINDS, hidden_in, kind_of, text

from attentropy.report.inkless import leaves_no_ink
from attentropy.report.text import (
    for_prompt,
    for_sentence,
    for_terminal,
    label,
    mark_whitespace,
    shorten,
    shorten_middle,
    width,
)

ALL = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]


def test_every_default_ignorable_character_leaves_no_ink():
    regex = pytest.importorskip("regex")
    wanted = set(regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(ALL)))
    assert len(wanted) > 4000
    assert not {c for c in wanted if not leaves_no_ink(c)}


def test_letters_marks_numbers_and_signs_have_ink():
    ignorable = {*IGNORABLE, *BLANKS}
    drawn = [
        c for c in ALL if unicodedata.category(c)[0] in "LMNPS" and c not in ignorable
    ]  # fmt: skip
    without = {c for c in drawn if leaves_no_ink(c)}
    assert {f"{ord(c):X}" for c in without} <= {"16FE4", "13441", "13442"}
    assert all(leaves_no_ink(c) for c in (*IGNORABLE, *BLANKS, *CONTROLS))


@pytest.mark.parametrize(
    "character",
    [
        "\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\u034f", "\ufe00", "\ufe0f", "\u200b",
        "\u200d", "\u2061", "\ufeff", "\xad", "\u180e", "\u061c", "\u202e", "\u2065", "\ufffc",
        "\U000e0100", "\U000e0041", "\U0001d159",
    ],
)  # fmt: skip
def test_a_character_without_ink_is_written_as_its_number_in_every_form(character):
    mark = f"⟨{ord(character):X}⟩"
    assert mark_whitespace(character) == mark
    assert for_terminal(f"a{character}b") == f"a{mark}b"
    assert for_prompt(f"a{character}") == f"a{mark}"
    assert for_sentence(character) == mark
    assert label(f"model{character}", 16) == f"model{mark}"


@pytest.mark.parametrize("emoji", EMOJI)
def test_an_emoji_stays_an_emoji(emoji):
    assert mark_whitespace(emoji) == emoji
    assert for_prompt(f"so {emoji}!") == f"so {emoji}!"


def test_every_emoji_may_have_a_selector_and_nothing_else_may():
    regex = pytest.importorskip("regex")
    emoji = set(regex.findall(r"\p{Emoji}", "".join(ALL))) - set("0123456789#*")
    assert [c for c in emoji if mark_whitespace(f"{c}\ufe0f") != f"{c}\ufe0f"] == []
    others = [c for c in ALL if ord(c) < 0x10000 and c not in emoji]
    assert [c for c in others if mark_whitespace(f"x{c}\ufe0f")[-1] == "\ufe0f"] == []


@pytest.mark.parametrize("word", ["می\u200cخواهم", "क्\u200dष", "ශ්\u200dරී"])
def test_a_joiner_within_a_word_of_a_script_that_joins_stays(word):
    assert mark_whitespace(word) == word
    assert "⟨" in mark_whitespace(f"{word}\u200c")  # at the end it joins nothing


def test_a_joiner_elsewhere_is_marked():
    assert mark_whitespace("pass\u200cword") == "pass⟨200C⟩word"
    assert mark_whitespace("a\u200db") == "a⟨200D⟩b"


def test_an_accent_without_a_letter_stands_on_a_circle():
    assert mark_whitespace("\u0301") == "◌\u0301"
    assert for_terminal("\u20dd") == "◌\u20dd"
    assert mark_whitespace(" \u0301") == "_\u0301"
    assert for_prompt("\u0301") == "\u0301"  # in the text it belongs to the token before it


def test_marks_that_do_not_combine_by_class_are_accents_too():
    assert mark_whitespace("x" + "\u0489" * 50) == "x" + "\u0489" * 4 + "⟨+46⟩"
    assert mark_whitespace("x" + "\u20dd" * 50) == "x" + "\u20dd" * 4 + "⟨+46⟩"
    assert for_prompt("e" + "\u0301" * 20 + " b") == "e" + "\u0301" * 4 + "⟨+16⟩ b"


def test_a_cut_divides_no_emoji_and_no_letter_from_its_accents():
    family = "👩\u200d👩\u200d👧"
    assert shorten(family * 9, 8) == f"{family}…"
    assert shorten("e\u0301" * 9, 4) == "e\u0301" * 3 + "…"
    assert shorten_middle("a" * 9 + "e\u0301" * 9, 10) == "a" * 6 + "…" + "e\u0301" * 3


@pytest.mark.parametrize("wide", ["\ufdfd", "\U0001242b", "\U00012219"])
def test_a_character_as_wide_as_a_phrase_takes_its_room(wide):
    assert width(wide) >= 8
    assert width(shorten(wide * 3, 7)) <= 7


def test_a_sample_of_the_fuzzed_texts_has_labels_that_can_be_seen():
    numbers = range(110)
    assert {kind_of(n) for n in numbers} == set(KINDS)
    assert {n: wrong for n in numbers if (wrong := wrong_forms(text(n)))} == {}


def test_the_check_itself_finds_what_is_hidden():
    assert hidden_in("a\u3164b") == ["U+3164"]
    assert hidden_in("a\ufe0f") == ["U+FE0F"]
    assert hidden_in("❤\ufe0f, \u2068שלום\u2069", " ") == []
