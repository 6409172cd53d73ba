"""Which parts of a prompt are tested: regions with roles, and spans at each level."""

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.sources.layout import Layout, regions, token_roles
from attentropy.engine.sources.spans import MANY, Spans, check_level
from attentropy.engine.sources.words import AnswerWord, answer_words, of_words, question_text
from hand_set import layout, tokens

RAG = (
    "Answer the question with the passages.\n\n[1] The bridge is old. It is red.\n"
    "[2] The dam is new.\n\nQuestion: How old is the bridge?"
)


def roles(own):
    """Return role and text of each region."""
    return [(r.role, own.text(r.start, r.stop).strip()) for r in regions(own)]


def spans(own, level="auto"):
    return [(s.role, s.level, own.text(s.start, s.stop).strip()) for s in Spans(own, level).first()]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is it?", ["asks"]),
        ("The capital of Australia is", ["asks"]),
        ("A long story.\n\nOf two parts.\n\nWho is it about?", ["evidence", "asks"]),
        ("A story.\nWho is it about?", ["evidence", "asks"]),
        ("Repeat this sentence exactly:\nThe old keeper.", ["asks", "evidence"]),
        (RAG, ["instruction", "evidence", "asks"]),
        ("[1] A dam.\n[2] A mill.", ["asks"]),
        ("Context:\n\nThe dam is new.\n\nIs it?", ["instruction", "evidence", "asks"]),
    ],
)
def test_the_last_question_asks_and_what_is_not_around_a_list_is_evidence(prompt, expected):
    assert [role for role, _ in roles(layout(prompt, "Yes"))] == expected


def test_the_system_message_instructs_and_earlier_turns_are_evidence():
    own = layout("Who is it?", "Bob", system="Be kind.")
    assert roles(own) == [("instruction", "Be kind."), ("asks", "Who is it?")]
    chat = Layout(
        ["<s>", "Bob", " is", " here", "<a>", "Ok", "<u>", "Who", "?", "<a>", "Bob"],
        ["bos", *["content"] * 3, "template", "content", "template", *["content"] * 2, "template",
         "generated"],
        10, [-1, 0, 0, 0, -1, 1, -1, 2, 2, -1], [], ["user", "assistant", "user"],
    )  # fmt: skip
    assert roles(chat) == [("evidence", "Bob is here"), ("evidence", "Ok"), ("asks", "Who?")]


def test_a_system_turn_that_the_template_writes_instructs_and_is_no_template():
    words = tokens("system\nYou are a kind assistant named Bob")
    texts = ["<s>", *words, "<e>", "user", "\n", "Who", "?", "<a>", "Bob"]
    count = len(texts) - 1
    own = Layout(
        texts, ["template"] * (count - 3) + ["content"] * 2 + ["template", "generated"], count,
        [-1] * (count - 3) + [0, 0, -1], special=frozenset({0, len(words) + 1, count - 1}),
    )  # fmt: skip
    assert roles(own) == [("instruction", "You are a kind assistant named Bob"), ("asks", "Who?")]
    assert token_roles(own)[:3] == ["template"] * 3


def test_names_of_segments_are_roles():
    texts = tokens("Be brief. The dam is new. Is it?")
    names = ["instruction"] * 3 + ["chunk-7"] * 5 + ["question"] * 3
    own = layout(texts, "Yes", segments=names)
    assert [role for role, _ in roles(own)] == ["instruction", "evidence", "asks"]
    first = Spans(own).first()
    assert [(s.id, s.level) for s in first if s.role == "evidence"] == [("chunk-7", "segment")]


def test_the_document_of_a_question_is_no_whole_but_its_sentences():
    texts = tokens("The dam is new. The mill is old. Is it?")
    names = ["document"] * 10 + ["question"] * 3
    own = layout(texts, "Yes", segments=names)
    evidence = [(s.level, s.id) for s in Spans(own).first() if s.role == "evidence"]
    assert evidence == [("sentence", "document")] * 2
    whole = [s.level for s in Spans(own, "segment").first() if s.role == "evidence"]
    assert whole == ["segment"]


def test_what_stands_around_named_segments_asks_and_instructs():
    texts = tokens("Answer with these. A dam. A mill. Is it new?")
    names = [""] * 4 + ["a"] * 3 + ["b"] * 3 + [""] * 4
    own = layout(texts, "Yes", segments=names)
    assert roles(own) == [
        ("instruction", "Answer with these."), ("evidence", "A dam."), ("evidence", "A mill."),
        ("asks", "Is it new?"),
    ]  # fmt: skip


def test_questions_are_tested_word_by_word_and_documents_sentence_by_sentence():
    own = layout(RAG, "Old")
    assert [text for role, _, text in spans(own) if role == "asks"] == [
        "Question", ":", "How", "old", "is", "the", "bridge", "?",
    ]  # fmt: skip
    assert [(level, text) for role, level, text in spans(own) if role == "evidence"] == [
        ("sentence", "[1] The bridge is old."), ("sentence", "It is red."),
        ("sentence", "[2] The dam is new."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "count"), [("message", 1), ("paragraph", 2), ("sentence", 3), ("word", 16)]
)
def test_each_level_divides_the_evidence(level, count):
    own = [text for role, _, text in spans(layout(RAG, "Old"), level) if role == "evidence"]
    assert len(own) == count


def test_spans_of_a_level_cover_each_word_once_and_split_no_token():
    own = layout(RAG, "Old", system="Be kind. Be brief.")
    for level in ("message", "paragraph", "sentence", "word"):
        first = Spans(own, level).first()
        covered = [i for span in first for i in range(span.start, span.stop)]
        assert len(covered) == len(set(covered))
        missing = set(range(own.prompt_tokens)) - set(covered)
        left = [own.tokens[i].strip() for i in missing if token_roles(own)[i] != "template"]
        assert not any(left)


def test_a_character_of_several_tokens_is_not_split():
    texts = ["<s>", "a", " 🦘", "", "", " b", "?", "<a>", "x"]
    byte_spans = [(0, 0), (0, 1), (1, 6), (1, 6), (1, 6), (6, 8), (8, 9), (9, 9), (9, 10)]
    own = Layout(
        texts, ["bos", *["content"] * 6, "template", "generated"], 8, [-1, *[0] * 6, -1],
        byte_spans=np.array(byte_spans),
    )  # fmt: skip
    assert [(s.start, s.stop) for s in Spans(own, "word").first()] == [
        (1, 2), (2, 5), (5, 6), (6, 7),
    ]  # fmt: skip


def test_many_sentences_begin_with_their_paragraphs_and_each_divides_further():
    text = "\n\n".join("One is here. Two is there." for _ in range(MANY)) + "\n\nWhich?"
    own = layout(text, "Two")
    search = Spans(own)
    first = [s for s in search.first() if s.role == "evidence"]
    assert {s.level for s in first} == {"paragraph"}
    assert [s.level for s in search.finer(first[0])] == ["sentence", "sentence"]
    assert search.finer(search.finer(first[0])[0]) == []


def test_a_level_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="is not a level; use auto, message"):
        check_level("page")


def test_decisive_are_the_content_words_that_do_not_stand_in_the_question():
    own = layout("What is the capital of Australia?", "The Capital of Australia is Canberra.")
    assert [w.text for w in answer_words(own) if w.is_decisive] == ["Canberra"]


@pytest.mark.parametrize(
    ("answer", "decisive"),
    [
        ("The capital of Australia", ["capital", "Australia"]),
        ("it is", ["it", "is"]),
        ("?!", ["", ""]),
    ],
)
def test_all_are_decisive_where_none_is_new(answer, decisive):
    own = layout("What is the capital of Australia?", answer)
    texts = [w.text for w in answer_words(own) if w.is_decisive]
    assert [text if text.isalpha() else "" for text in texts] == decisive


def test_words_of_a_passage_are_decisive_since_the_passage_does_not_ask():
    own = layout(RAG, "The bridge is red")
    assert [w.text for w in answer_words(own) if w.is_decisive] == ["red"]
    assert question_text(own).strip() == "Question: How old is the bridge?"


def test_words_of_reasoning_never_decide():
    own = layout("Who is it?", ["Hmm", " Alice", " or", " Bob", " Bob"])
    thinking = Layout(own.tokens, [*own.roles[:-1], "generated"], own.prompt_tokens, own.messages)
    assert len([w for w in answer_words(thinking) if w.is_decisive]) > 1
    roles_of = [*own.roles[: own.prompt_tokens], *["reasoning"] * 4, "generated"]
    thinking = Layout(own.tokens, roles_of, own.prompt_tokens, own.messages)
    assert [(w.text, w.start) for w in answer_words(thinking) if w.is_decisive] == [("Bob", 4)]


def test_a_word_has_the_sum_of_its_steps():
    own = layout("Who?", ["Can", "berra", " it"])
    words = answer_words(own)
    assert of_words(np.array([[1.0, 2.0, 4.0]]), words).tolist() == [[3.0, 4.0]]


def test_steps_of_no_word_and_missing_effects_stay_out_of_the_sums():
    words = [AnswerWord(a, b, "w", "w") for a, b in ((1, 2), (2, 5), (7, 9))]
    values = np.random.default_rng(0).normal(size=(3, 2, 9))
    values[0, 0, 3] = values[1, 1, 6] = np.nan
    expected = np.stack([values[..., w.start : w.stop].sum(-1) for w in words], -1)
    np.testing.assert_allclose(of_words(values, words), expected, rtol=1e-15, atol=1e-15)
    assert of_words(values, []).shape == (3, 2, 0)
