"""The decisive word of an answer is the first one that says something new."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.content.headline import headline
from attentropy.report.read.answer_words import read_answer
from traces import CHAT, chat_roles, synthetic

END = "<|eot_id|>"


def answered(answer_tokens, prompt=CHAT, prompt_roles=None, roles=None, messages=None, **attrs):
    """Return a trace of a prompt and the tokens of its answer, each with its own probability."""
    answer = answer_tokens
    prompt_roles = prompt_roles or chat_roles(list(prompt))
    roles = [*prompt_roles, *(roles or ["generated"] * len(answer))]
    data = synthetic((*prompt, *answer), roles, generated=answer, window=False).dataset
    values = np.log(np.linspace(0.9, 0.5, len(answer))).astype(np.float32)
    data = data.assign(generated_logprob=("step", values))
    if messages is not None:
        own = np.array([*messages, *[-1] * len(answer)], np.int32)
        data = data.assign_coords(message=("position", own))
    facts = {"tokens": len(prompt), "chat": True}
    text = "".join(t for t in answer if not t.startswith("<|")).strip()
    return Trace(data.assign_attrs({"prompt": facts, "answer": text} | attrs))


def _word(*args, **options):
    return read_answer(answered(*args, **options)).decisive


def test_words_of_the_question_and_function_words_do_not_decide():
    answer = (" The", " capital", " of", " Australia", " is", " Can", "berra", ".", END)
    one = _word(answer)
    assert (one.word, one.step, one.tokens, one.is_new) == ("Canberra", 5, 2, True)
    assert (one.position, one.query) == (len(CHAT) + 5, len(CHAT) + 4)
    wanted = np.linspace(0.9, 0.5, len(answer))
    assert one.probability == pytest.approx(wanted[5] * wanted[6])


@pytest.mark.parametrize(
    ("answer", "word", "step"),
    [
        (("AUSTRALIA", " Sydney", END), "Sydney", 1),  # case folded
        (("Australia", "'s", " Perth", END), "Perth", 2),
        (("Can", "berra", "!", END), "Canberra", 0),
        ((" 4", "2", ".", END), "42", 0),
        (("**", "Perth", "**", END), "Perth", 1),
    ],
)
def test_the_decisive_word_is_the_first_new_content_word(answer, word, step):
    one = _word(answer)
    assert (one.word, one.step, one.is_new) == (word, step, True)


@pytest.mark.parametrize(
    ("answer", "word", "step"),
    [
        ((" The", " capital", " of", " Australia", END), "capital", 1),
        ((" it", " is", ".", END), "it", 0),  # no content word: the first word
        (("**", "It", "**", " is", ".", END), "It", 1),
        (("?", END), "", 0),
        ((END,), "", 0),
    ],
)
def test_without_a_new_word_the_first_content_word_or_word_or_token_decides(answer, word, step):
    one = _word(answer)
    assert (one.word, one.step, one.is_new) == (word, step, False)
    assert one.is_content is (word == "capital")


YES_OR_NO = (
    "<|start|>",
    "Can",
    " it",
    " fly",
    "?",
    " Answer",
    " yes",
    " or",
    " no",
    ".",
    "<|end|>",
)


@pytest.mark.parametrize(
    ("answer", "word", "note"),
    [(("Yes", ".", END), "Yes", "The first content word of the answer (position 11)"),
     # With the answer, "no" stands there twice, as often as a Spanish text would have it.
     (("No", ".", END), "No", "The first word of the answer (position 11)"),
     (("No", ",", " it", " cannot", " fly", END), "No",
      "The first content word of the answer (position 11)"),
     (("It", " can", ".", END), "It", "The first word of the answer (position 11)")],
)  # fmt: skip
def test_an_answer_that_the_question_gives_is_marked_all_the_same(answer, word, note):
    roles = ["template", *["content"] * 9, "template"]
    own = headline(answered(answer, YES_OR_NO, roles, messages=[-1, *[0] * 9, -1]))
    assert own.word == word
    assert own.note == note


@pytest.mark.parametrize(
    ("answer", "word", "is_new"),
    [
        ((" Austral",), "Austral", False),  # of "Australia", in the question
        ((" capital", " Austral"), "capital", False),
        ((" Austral", END), "Austral", True),  # the end of turn follows: a whole word
        ((" Austral", "."), "Austral", True),
        ((" Sydney", " Austral"), "Sydney", True),
        ((" Perth",), "Perth", True),
    ],
)
def test_a_word_of_the_question_that_the_limit_cuts_does_not_decide(answer, word, is_new):
    one = _word(answer)
    assert (one.word, one.is_new) == (word, is_new)


def test_without_messages_the_last_paragraph_asks():
    prompt = ("<s>", "Perth", " is", " far", ".", "\n\n", "Where", " is", " Sydney", "?", "\n")
    roles = ["bos", *["content"] * 10]
    answer = (" Sydney", " Perth", END)
    trace = answered(answer, prompt, roles)
    assert read_answer(trace).decisive.word == "Perth"
    assert headline(trace).note.startswith(
        "The first content word of the answer that is not in the last paragraph of the prompt"
    )
    whole = tuple(token.replace("\n\n", "\n") for token in prompt)
    assert not read_answer(answered(answer, whole, roles)).decisive.is_new


def test_words_of_a_document_before_the_question_may_decide():
    answer = (" The", " capital", " is", " Australia", END)
    assert _word(answer).word == "capital"
    names = ["question" if role == "content" else "" for role in chat_roles(list(CHAT))]
    names[CHAT.index(" Australia")] = "document"
    data = answered(answer).dataset
    segments = np.array([*names, *[""] * len(answer)], np.dtypes.StringDType())
    question = Trace(data.assign_coords(segment=("position", segments)))
    one = read_answer(question).decisive
    assert (one.word, one.is_new) == ("Australia", True)
    assert headline(question).note.startswith(
        "The first content word of the answer that is not in the question (position"
    )


def test_only_the_last_message_counts_as_the_question():
    prompt = ("<|start|>", "Rome", "<|end|>", "<|start|>", "Paris", "?", "<|end|>")
    roles = ["template", "content", "template", "template", "content", "content", "template"]
    messages = [-1, 0, -1, -1, 1, 1, -1]
    answer = ("Paris", " Rome", END)
    assert _word(answer, prompt, roles, messages=messages).word == "Rome"
    assert _word(answer, prompt, roles).word == "Paris"  # all content; then the first word


def test_the_words_of_languages_without_blanks_are_found():
    prompt = ("<|s|>", "法国", "的", "首都", "是", "？", "<|e|>")
    roles = ["template", *["content"] * 5, "template"]
    assert _word(("首都", "是", "巴黎", "。", END), prompt, roles).word == "巴黎"
    prompt = ("<|s|>", "ما", " عاصمة", " مصر", "؟", "<|e|>")
    roles = ["template", *["content"] * 4, "template"]
    assert _word((" عاصمة", " مصر", " هي", " القاهرة", END), prompt, roles).word == "القاهرة"


@pytest.mark.parametrize("answer", [(" Perth", " is", " far", END), ("\n", "  is", " it", END)])
def test_blanks_before_an_answer_are_not_in_its_headline(answer):
    text = "".join(answer[:-1])
    own = headline(answered(answer, answer=text))
    assert own.before + own.word + own.after == text.strip()


def test_reasoning_never_decides():
    roles = ["reasoning"] * 2 + ["generated"] * 4
    answer = (" Perth", "?", "</think>", "Can", "berra", END)
    one = _word(answer, roles=roles, answer="Canberra", reasoning="Perth?")
    assert (one.word, one.step) == ("Canberra", 3)
    facts = {"answer": "", "reasoning": "Perth?"}
    cut = answered((" Perth", "?"), roles=roles[:2], answer_is_cut=True, **facts)
    assert read_answer(cut).decisive is None
    assert headline(cut).lead == "Still reasoning:"
    assert headline(cut).before == "Perth? …"


def test_an_answer_that_ends_within_its_reasoning_says_so():
    roles = ["reasoning", "reasoning", "generated"]
    facts = {"answer": "", "reasoning": "Perth?", "answer_is_cut": False}
    trace = answered((" Perth", "?", END), roles=roles, **facts)
    assert read_answer(trace).decisive is None
    assert headline(trace).lead == "Ends within its reasoning:"
    assert headline(trace).before == "Perth?"


def test_a_cut_answer_is_told_from_one_that_ended():
    assert not read_answer(answered(("Can", "berra", END), answer_is_cut=False)).is_cut
    assert read_answer(answered(("Can", "ber"), answer_is_cut=True)).shown == "Canber…"


@pytest.mark.parametrize(
    ("answer", "limit", "is_cut"),
    [
        (("Can", "berra", END), 3, False),
        (("Can", "berra"), 2, True),
        (("Can", "berra", "."), 3, True),
        (("Can", "berra"), 8, False),
        (("Can", "berra"), None, False),
    ],
)
def test_of_an_older_trace_the_last_token_says_whether_it_was_cut(answer, limit, is_cut):
    assert read_answer(answered(answer, options={"max_new_tokens": limit})).is_cut is is_cut


def test_an_older_trace_has_its_answer_along_steps_alone():
    trace = synthetic(generated=(" The", " Can", "berra", END))
    answer = read_answer(Trace(trace.dataset.assign_attrs(answer="The Canberra")))
    assert (answer.decisive.word, answer.decisive.step) == ("Canberra", 1)
    assert answer.decisive.position == len(CHAT) + 1


def test_a_recording_has_the_texts_of_its_generated_tokens():
    data = answered((" The", " Perth", END)).dataset
    names = [name for name in data.variables if "step" in data[name].dims]
    data = data.drop_vars(names)
    del data.attrs["answer"]
    data.attrs["prompt"] = {"tokens": len(CHAT), "chat": False}
    rows = np.full(len(CHAT) + 3, np.log(0.25), np.float32)
    answer = read_answer(Trace(data.assign(token_logprob=("query", rows))))
    assert (answer.text, answer.decisive.word, answer.is_chat) == ("The Perth", "Perth", False)
    assert answer.decisive.probability == pytest.approx(0.25)
    assert read_answer(Trace(data)).decisive.probability is None


def test_an_answer_without_its_tokens_has_a_text_alone():
    data = synthetic(generated=()).dataset.assign_attrs(answer="Perth")
    answer = read_answer(Trace(data))
    assert (answer.text, answer.is_cut, answer.decisive) == ("Perth", False, None)
    assert headline(Trace(data)).after == "Perth"


def test_what_looks_like_markup_is_text_and_a_special_token_is_not():
    data = answered(("<div>", " Perth", "<end_of_turn>"), options={"max_new_tokens": 3}).dataset
    data = data.drop_vars([name for name in data.variables if "step" in data[name].dims])
    del data.attrs["answer"]
    answer = read_answer(Trace(data))
    assert (answer.text, answer.decisive.word, answer.is_cut) == ("<div> Perth", "div", False)


def test_without_generated_tokens_there_is_no_answer():
    trace = synthetic(generated=())
    assert read_answer(trace) is None
    assert headline(trace) is None


def test_a_redacted_trace_names_no_word():
    answer = read_answer(redact(answered((" The", " Perth", END))))
    assert (answer.text, answer.decisive.word) == ("‹answer·9›", "")
    line = headline(redact(answered((" The", " Perth", END))))
    assert (line.after, line.word, line.probability) == ("‹answer·9›", "", "")


def test_the_headline_marks_the_word_with_its_probability():
    line = headline(answered((" The", " capital", " is", " Can", "berra", ".", END)))
    assert (line.lead, line.before) == ("", "The capital is ")
    assert (line.word, line.after, line.probability) == ("Canberra", ".", "0.44")
    assert (line.is_sure, line.p) == (False, "p = 0.44 (unsure)")


def test_a_text_without_a_template_is_continued():
    facts = {"tokens": len(CHAT), "chat": False}
    trace = answered((" Perth", " is"), prompt=CHAT, answer_is_cut=True)
    trace = Trace(trace.dataset.assign_attrs(prompt=facts))
    line = headline(trace)
    assert (line.lead, line.word, line.after) == ("Continues with", "Perth", " is…")
    assert "continues with 'Perth is'…" in repr(trace)


def test_a_decisive_word_far_behind_is_shown_with_what_stands_around_it():
    answer = (*[" the"] * 100, " Perth", *[" a"] * 200)
    line = headline(answered(answer))
    assert line.before.startswith("…")
    assert len(line.before + line.word + line.after) < 170
    assert line.word == "Perth"


def test_a_word_that_also_stands_in_another_one_is_marked_where_it_decides():
    trace = answered((" Australian", " Australia", " of", " Al", " Al", "ice", END))
    assert _word((" Australia", " Australian", END)).place == (10, 20)
    assert read_answer(trace).decisive.place == (0, 10)
