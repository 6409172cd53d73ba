"""Prompt and answer are one text: chips for turns, whole words, each turn in its direction."""

import numpy as np
import pytest

from answers import answered, written
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.directions import direction_groups, words_direction
from attentropy.report.content.running_text import running_text
from attentropy.report.content.words import TextWord, TokenWord
from attentropy.report.planes import read_attention
from attentropy.report.read.turns import turns
from attentropy.report.read.views import read_view
from traces import synthetic

SYSTEM = ["<|im_start|>", "system", "\n", "You", " are", " kind", ".", "<|im_end|>", "\n"]
USER = ["<|im_start|>", "user", "\n"]
ASSISTANT = ["<|im_end|>", "\n", "<|im_start|>", "ass", "istant", "\n"]


def chat(*parts, generated=0, **options):
    """Return a trace of (role, tokens) parts, of which the last `generated` tokens are written."""
    tokens = [token for _, own in parts for token in own]
    roles = [role for role, own in parts for _ in own]
    own = synthetic(tokens, roles, layers=3, heads=2, window=False, **options).dataset
    prompt = {"sha256": "2" * 64, "tokens": len(tokens) - generated, "chat": True}
    return Trace(own.assign_attrs(prompt=prompt))


def text_of(trace):
    views = [read_view(trace, "lens"), read_view(trace, "attention", read_attention(trace))]
    return running_text(trace, views)


def shown(stretch):
    return "".join(word.lead + "".join(t.text for t in word.tokens) for word in stretch.words)


def test_system_and_template_turns_are_chips_with_a_count():
    question = ["What", " is", " it", "?"]
    for role in ("template", "content"):  # the template's own words, and those of the caller
        trace = chat(
            ("template", SYSTEM[:3]), (role, SYSTEM[3:7]), ("template", SYSTEM[7:] + USER),
            ("content", question), ("template", ASSISTANT),
        )  # fmt: skip
        text = text_of(trace)
        labels = [(one.kind, one.label) for one in text.stretches]
        assert labels == [
            ("chip", "system · 9 tokens"), ("chip", "user · 3"), ("words", "words · 4"),
            ("chip", "assistant · 6"),
        ]  # fmt: skip
        assert shown(text.stretches[0]) == "".join(SYSTEM).replace("\n", "⏎")
        assert shown(text.stretches[2]) == "What is it?"
        assert not text.is_long


@pytest.mark.parametrize(
    ("template", "label"),
    [
        (["<bos>"], "bos"),
        (["<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n"],
         "user · 5"),
        (["<start_of_turn>", "model", "\n"], "model · 3"),
        (["[INST]"], "INST"),
        (["<s>", "a", "b"], "template · 3"),
        (["### ", "Instruction", ":\n"], "instruction · 3"),
    ],
)  # fmt: skip
def test_a_chip_says_the_role_that_the_template_names(template, label):
    trace = chat(("template", template), ("content", ["x"]))
    assert [turn.label for turn in turns(trace)] == [label, "words · 1"]


def test_every_token_is_in_one_turn():
    trace = chat(
        ("bos", ["<s>"]), ("template", SYSTEM + USER), ("content", ["a", " b"]),
        ("image", ["i"] * 4),
        ("template", ASSISTANT), ("reasoning", ["hm"]), ("content", ["c"]),
    )  # fmt: skip
    own = turns(trace)
    assert [turn.start for turn in own[1:]] == [turn.stop for turn in own[:-1]]
    assert (own[0].start, own[-1].stop) == (0, len(trace.tokens))


def test_the_tokens_of_a_word_are_one_word_after_its_blank():
    text = text_of(chat(("content", ["The", " Aus", "tra", "lia", " do", "n't", "."])))
    words = [(word.lead, [token.text for token in word.tokens]) for word in text.stretches[0].words]
    assert words == [
        ("", ["The"]), (" ", ["Aus", "tra", "lia"]), (" ", ["do", "n't"]), ("", ["."]),
    ]  # fmt: skip


def test_a_character_of_several_tokens_is_one_unit_with_their_mean():
    trace = chat(("content", ["季", "", "节", "", "", "。"]))
    tokens = written(text_of(trace))
    assert [(t.text, t.position, t.tokens) for t in tokens] == [
        ("季", 0, 2), ("节", 2, 3), ("。", 5, 1),
    ]  # fmt: skip
    mean = trace["lens_entropy"][0, -1, 2:5].mean()
    assert f"positions 2 to 4 (one character of 3 tokens), content: mean {mean:.2f} nats" in (
        tokens[1].title
    )


def test_an_english_system_turn_leaves_arabic_right_to_left_and_itself_left_to_right():
    trace = chat(
        ("template", SYSTEM + USER), ("content", ["ك", "م", " ع", "دد", "؟"]),
        ("template", ASSISTANT), ("content", ["Seven", "."]),
    )  # fmt: skip
    text = text_of(trace)
    assert text.direction == "rtl"
    assert [one.direction for one in text.stretches] == ["ltr", "ltr", "rtl", "ltr", "ltr"]


def _words(*texts):
    return [TextWord([TokenWord(text, "content", "", "")]) for text in texts]


def test_words_of_the_other_direction_stay_together_and_take_what_is_between_them():
    words = _words("ما", "New", ",", "York", ".", "هو", "!")
    groups = [(way, [w.tokens[0].text for w in own]) for way, own in direction_groups(words, "rtl")]
    assert groups == [
        ("rtl", ["ما"]), ("ltr", ["New", ",", "York"]), ("rtl", [".", "هو", "!"]),
    ]  # fmt: skip
    assert [w for _, own in direction_groups(words, "ltr") for w in own] == words
    assert words_direction(words) == "rtl"


def test_a_token_that_the_lens_did_not_read_has_the_colour_of_attention():
    trace = chat(("content", ["a", " b", " c"]))
    trace.dataset["lens_entropy"].values[:, :, 1] = np.nan
    tokens = written(text_of(trace))
    assert [token.shade.endswith(" other") for token in tokens] == [False, True, False]
    value = trace["entropy"][-1, :, 1].mean()
    assert f"attention entropy {value:.2f} nats (the lens did not read this" in tokens[1].title


def test_a_long_text_is_cut_between_words_and_says_how_many_tokens_are_left_out():
    n = 3600
    tokens = [" wo" if i % 2 == 0 else "rd" for i in range(n)]
    text = text_of(chat(("content", tokens)))
    assert text.is_long
    first, gap, last = text.stretches
    ends = [word.tokens[-1] for word in (first.words[-1], last.words[-1])]
    assert all(len(word.tokens) == 2 for one in (first, last) for word in one.words)
    left_out = last.words[0].tokens[0].position - ends[0].position - 1
    assert gap.label.startswith(f"… {left_out:,} tokens more")
    assert left_out == n - sum(2 * len(one.words) for one in (first, last))


def test_a_word_of_the_answer_has_its_probability_and_punctuation_has_none():
    trace = answered((" The", " city", ",", " Canberra", "."))
    trace.dataset["generated_logprob"].values[:] = np.log([0.999, 0.25, 0.5, 0.999, 0.5])
    numbers = {
        "".join(token.text for token in word.tokens): word.probability
        for stretch in text_of(trace).stretches
        for word in stretch.words
        if word.tokens[0].position >= trace.prompt_tokens
    }
    decisive = "city"  # whose probability is written out
    assert numbers == {"The": "> 0.99", decisive: "0.25", ",": "", "Canberra": "> 0.99", ".": ""}


def test_a_text_without_words_is_in_the_page_only_in_part():
    tokens = ["<s>", *["x"] * 3199]
    trace = synthetic(tokens, ["bos", *["content"] * 3199], layers=1, heads=1, window=False)
    text = text_of(trace)
    assert sum(len(word.tokens) for part in text.stretches for word in part.words) < 1100
