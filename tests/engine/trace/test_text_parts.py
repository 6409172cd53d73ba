"""Where sentences and paragraphs begin."""

from itertools import pairwise

import pytest

from attentropy.engine.trace.text_parts import (
    is_item,
    is_question,
    paragraph_starts,
    sentence_starts,
)


def parts(text, starts):
    return [text[a:b] for a, b in pairwise([*starts(text), len(text)])]


@pytest.mark.parametrize(
    ("sentences"),
    [
        ["Hello there. ", "How are you?  ", "Fine! ", "(Really.) ", "Yes"],
        ["It costs 3.14 euros. ", "See e.g. the U.S.A. army. ", 'He said "Go." ', "Then left."],
        ["Is that all?! ", "No... it goes on."],
        ["澳大利亚的首都是哪里？", "是堪培拉。", "对！"],
        ["ما عاصمة أستراليا؟ ", "كانبرا هي العاصمة. ", "نعم۔ ", "لا"],
        ["def f(x):\n", "    return x.y\n", "print(f(1))\n"],
        ["One line\r\n", "Another\r\n", "12\n", "13\n"],
        ["1. First thing. ", "Second thing"],
        ["[1] A bridge. ", "It is long.\n", "[2] A dam."],
        [""],
        ["?"],
    ],
)
def test_sentences_begin_at_unicodes_boundaries(sentences):
    assert parts("".join(sentences), sentence_starts) == sentences


@pytest.mark.parametrize(
    "paragraphs",
    [
        ["One.\nTwo.\n\n", "Three.\n \n\n", "Four."],
        ["Answer with the passages.\n\n", "[1] A. B.\n", "[2] C.\n\n", "Question: Who?"],
        ["Repeat this sentence exactly:\n", "The old keeper."],
        ["A document\nof two lines.\n", "Who wrote it?"],
        ["- a\n", "- b\n", "Which is first?"],
        ["In 1962\n12 ships came."],
        ["What?"],
        [""],
    ],
)
def test_paragraphs_are_cut_at_blank_lines_and_at_the_items_of_a_list(paragraphs):
    assert parts("".join(paragraphs), paragraph_starts) == paragraphs


def test_a_question_ends_with_a_question_mark_and_an_item_begins_with_a_number():
    assert [is_question(t) for t in ("Who? ", "哪里？", "ما؟", "Who?)", "Who? Say it.")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert [is_item(t) for t in ("[1] a", "\n(2) a", "3. a", "- a", "3.5 m", "-a")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("unit", ["\n", ". ", ".", " - ", "a. ", "a b\n\n", "\n- ", "é? "])
def test_long_texts_are_cut_too(unit):
    text = "a. " + unit * 50_000 + "B"
    for starts in (sentence_starts(text), paragraph_starts(text)):
        assert starts == sorted(set(starts))
        assert starts[0] == 0
        assert starts[-1] < len(text)
