"""Tokens are read in the direction of their text, whatever stands before it."""

import pytest

from attentropy.report.content.directions import direction, runs
from attentropy.report.content.words import TokenWord


def words(*pairs):
    """Return tokens, "template" ones where the text begins with `<`."""
    roles = ["template" if text.startswith("<") else "content" for text in pairs]
    return [TokenWord(text, role, "", "") for text, role in zip(pairs, roles, strict=True)]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["<bos>", "القا", "هرة"], "rtl"),
        (["<s>", "שלום", " world"], "rtl"),
        (["<s>", "12", ". ", "مصر"], "rtl"),
        (["<s>", "The", " مصر"], "ltr"),
        (["<s>", "首都"], "ltr"),
        (["<s>", "42"], "ltr"),
        ([], "ltr"),
    ],
)
def test_the_first_letter_of_the_words_decides(texts, wanted):
    assert direction(words(*texts)) == wanted


def test_each_message_has_its_own_direction_and_the_templates_are_left_to_right():
    tokens = words("<s>", "<user>", "ما", " هو", "<end>", "The", " Nile", "<end>")
    assert [(way, [token.text for token in run]) for way, run in runs(tokens)] == [
        ("ltr", ["<s>", "<user>"]),
        ("rtl", ["ما", " هو"]),
        ("ltr", ["<end>"]),
        ("ltr", ["The", " Nile"]),
        ("ltr", ["<end>"]),
    ]
