"""A label is recognisable and never invisible."""

import pytest

from attentropy.report.findings.finding import quoted
from attentropy.report.text import (
    cut,
    for_prompt,
    for_sentence,
    for_terminal,
    label,
    mark_whitespace,
    shorten,
    shorten_middle,
    width,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" capital", "_capital"),
        (" ", "␣"),
        ("\n\n", "⏎⏎"),
        ("\t", "⇥"),
        ("", "·"),
        ("\x00\x1b", "␀␛"),
        ("\u2028", "⏎"),
        ("\u202e", "⟨202E⟩"),
        ("a b", "a␣b"),
        ("日本", "日本"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_blanks_and_controls_are_drawn(text, shown):
    assert mark_whitespace(text) == shown


def test_long_text_is_cut_by_the_columns_it_takes():
    assert shorten(" Australia", 7) == "_Austr…"
    assert shorten("日本語日本語", 7) == "日本語…"
    assert width("日本") == 4
    assert shorten("short", 7) == "short"


def test_a_text_cut_in_its_middle_tells_its_beginning_and_its_end():
    assert shorten_middle("<|start_header_id|>", 7) == "<|st…|>"
    assert shorten_middle(" international", 10) == "_inter…nal"
    assert shorten_middle("日本語日本語", 8) == "日本…語"
    assert shorten_middle("capital", 7) == "capital"
    assert shorten_middle("<|start_header_id|>", 5) == "<|st…"  # too narrow to show the end as well
    assert shorten_middle("a" * 5000 + "b", 7) == "aaaaaa…"  # a very long text keeps only its start


def test_right_to_left_text_is_isolated():
    assert shorten("שלום", 9) == "\u2068שלום\u2069"


@pytest.mark.parametrize("text", ["", "a", "שלום", "Nile النيل"])
def test_a_word_that_is_isolated_is_quoted_as_it_was(text):
    word = for_sentence(text)
    assert quoted(word) == quoted(text)
    assert quoted(word).count("\u2068") == (text != "" and text != "a")


def test_what_a_stranger_isolates_is_shown():
    assert quoted("\u2068a\u2069") == "“⟨2068⟩a⟨2069⟩”"


def test_a_terminal_gets_no_control_character():
    assert for_terminal("a b\x1b[2J\u202ex\n") == "a b␛[2J⟨202E⟩x⏎"


def test_a_tower_of_accents_is_cut_where_it_would_be_drawn_over_other_lines():
    tower = "e" + "\u0301" * 300
    for shown in (mark_whitespace(tower), for_terminal(tower), for_prompt(tower)):
        assert shown == "e" + "\u0301" * 4 + "⟨+296⟩"
    assert for_terminal(tower + "x" + tower) == (for_terminal(tower) + "x" + for_terminal(tower))
    assert for_terminal("שָׁ é̂ กี่") == "שָׁ é̂ กี่"
    assert mark_whitespace("e\u0301" * 9) == "e\u0301" * 9


@pytest.mark.parametrize(
    ("token", "columns", "shown"),
    [
        ("<|begin_of_text|>", 6, "begin"),
        ("<|start_header_id|>", 6, "start"),
        ("<|end_header_id|>", 6, "end"),
        ("<|eot_id|>", 6, "eot"),
        ("<|im_start|>", 8, "im_start"),
        ("<start_of_turn>", 6, "start"),
        ("<end_of_turn>", 6, "end"),
        ("<｜begin▁of▁sentence｜>", 6, "begin"),
        ("<bos>", 6, "bos"),
        ("<div>", 6, "<div>"),
        ("<|>", 6, "<|>"),
        (" capital", 6, "_capi…"),
        ("‹content·7›", 7, "conte·7"),
        ("‹3·template·12›", 6, "tem·12"),
        ("‹content·7›", 12, "‹content·7›"),
        ("‹content·123›", 3, "123"),
    ],
)
def test_special_and_redacted_tokens_stay_apart_where_they_are_cut(token, columns, shown):
    assert label(token, columns) == shown


def test_a_text_of_a_sentence_is_cut_to_its_columns():
    assert cut("one two three", 9) == "one two…"
    assert cut("堪培拉", 6) == "堪培拉"
    assert cut("堪培拉是", 6) == "堪培…"
    assert cut("\u2068\u05d0\u05d1\u05d2\u2069", 3) == "\u2068\u05d0\u05d1\u05d2\u2069"
    assert cut("\u2068\u05d0\u05d1\u05d2\u05d0\u2069", 3) == "\u2068\u05d0\u05d1…\u2069"
