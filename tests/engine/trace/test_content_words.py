"""Content words: by language, with their tokens."""

from __future__ import annotations

import pytest

from attentropy.engine.trace.content_words import content_keys, word_key, word_keys


@pytest.mark.parametrize(
    ("word", "key"),
    [
        (" Canberra", "canberra"), ("“Straße”,", "strasse"), ("...", ""), ("⏎", ""),
        ("1725", "1725"),
        ("it’s", "it's"), ("re\u0301sume\u0301", "résumé"), ("नमस्ते।", "नमस्ते"), ("C++", "c"),
    ],
)  # fmt: skip
def test_key(word: str, key: str) -> None:
    assert word_key(word) == key


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("The capital of Australia is Canberra .", ["capital", "australia", "canberra"]),
        ("Die Hauptstadt von Österreich war Wien", ["hauptstadt", "österreich", "wien"]),
        ("La capitale de la France est Paris", ["capitale", "france", "paris"]),
        ("The opposite of peace is war", ["opposite", "peace", "war"]),
        ("Translate to French: The cat sleeps on the table. Le chat dort sur la table.",
         ["translate", "french", "cat", "sleeps", "table", "chat", "dort", "table"]),
        ("17 + 25 = 42", ["17", "25", "42"]),
        ("War", ["war"]), ("No, it is not .", ["no"]),
    ],
)  # fmt: skip
def test_content_words_of_a_text(text: str, content: list[str]) -> None:
    tokens = [f" {word}" for word in text.split()]
    keys = content_keys(tokens, ["content"] * len(tokens))
    assert [key for key in keys if key] == content


def test_every_token_of_a_content_word_has_its_key() -> None:
    tokens = ["The", " Can", "berra", " is", "!"]
    assert content_keys(tokens, ["generated"] * 5) == ["", "canberra", "canberra", "", ""]


def test_chinese_characters_are_words() -> None:
    tokens = list("法国的首都是巴黎")
    assert "".join(content_keys(tokens, ["content"] * 8)) == "法国首都巴黎"


def test_the_templates_words_do_not_choose_the_language() -> None:
    tokens = ["assistant", " the", " der", " Hund", " und", " die"]
    keys = content_keys(tokens, [*["template"] * 2, *["content"] * 4])
    assert keys[2:] == ["", "hund", "", ""]


def test_words_of_a_text_without_punctuation() -> None:
    assert word_keys("What is 17 + 25? It’s…") == {"what", "is", "17", "25", "it's"}
