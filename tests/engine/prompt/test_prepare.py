"""Each token of a prompt has its text, its position in the text and its role."""

import numpy as np
import pytest
import torch
from tokenizers import processors
from transformers import BatchEncoding

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.tokens import vocabulary_text
from tiny import TEMPLATE, tokenizer

HOSTILE = "</script><script>x</script> <!-- \u2028 😀 مرحبا שלום 日本"


def test_a_chat_is_the_template_around_the_users_words():
    prompt = prepare(tokenizer(), "hi you", system="be brief")
    assert prompt.text == (
        "<|bos|><|start|>system\nbe brief<|end|><|start|>user\nhi you<|end|><|start|>assistant\n"
    )
    content = "".join(
        t for t, role in zip(prompt.tokens, prompt.roles, strict=True) if role == "content"
    )
    assert content == "be briefhi you"
    assert prompt.roles[0] == "bos"
    assert set(prompt.roles) == {"bos", "content", "template"}
    assert prompt.chat


def test_words_of_the_template_inside_the_prompt_stay_content():
    prompt = prepare(tokenizer(), "user assistant\nuser")
    content = [t for t, r in zip(prompt.tokens, prompt.roles, strict=True) if r == "content"]
    assert "".join(content) == "user assistant\nuser"


@pytest.mark.parametrize("chat", [True, False])
def test_the_tokens_spell_the_prompt_and_lie_where_they_say(chat):
    prompt = prepare(tokenizer(), HOSTILE, chat_template=chat)
    assert "".join(prompt.tokens) == prompt.text
    raw = prompt.text.encode()
    for token, (start, stop) in zip(prompt.tokens, prompt.spans, strict=True):
        assert token == "" or raw[start:stop].decode() == token


def test_an_emoji_in_four_byte_tokens_is_whole_in_the_first_and_has_one_span():
    prompt = prepare(tokenizer(None), "a😀b")
    assert prompt.tokens == ["a", "😀", "", "", "", "b"]
    assert prompt.spans == [(0, 1), *[(1, 5)] * 4, (5, 6)]


def test_a_raw_prompt_is_all_content():
    prompt = prepare(tokenizer(None), "abc")
    assert prompt.roles == ["content"] * 3
    assert not prompt.chat


def test_a_conversation_that_ends_with_the_assistant_is_continued():
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    prompt = prepare(tokenizer(), messages)
    assert prompt.text.endswith("assistant\na")
    assert prompt.roles[-1] == "content"


@pytest.mark.parametrize("prompt", ["", "  \n ", [{"role": "user", "content": " "}]])
def test_a_blank_prompt_runs_where_the_template_gives_tokens(prompt):
    prepared = prepare(tokenizer(), prompt)
    assert prepared.text.endswith("<|start|>user\n<|end|><|start|>assistant\n")
    assert set(prepared.roles) == {"bos", "template"}
    assert prepared.notes == []
    if isinstance(prompt, str):
        with pytest.raises(UsageError, match="empty"):
            prepare(tokenizer(), prompt, chat_template=False)
    with pytest.raises(UsageError, match="no tokens"):
        prepare(tokenizer("{{ messages[0].content | trim }}"), prompt)


def test_no_messages_are_refused():
    with pytest.raises(UsageError, match="empty"):
        prepare(tokenizer(), {"messages": []})


@pytest.mark.parametrize("messages", [[{"role": "user"}], [{"content": "x"}], [{"role": 1}]])
def test_messages_without_role_or_content_are_refused(messages):
    with pytest.raises(UsageError, match="role"):
        prepare(tokenizer(), messages)


def test_messages_need_a_template():
    with pytest.raises(UsageError, match="chat template"):
        prepare(tokenizer(None), [{"role": "user", "content": "x"}])
    with pytest.raises(UsageError, match="chat template"):
        prepare(tokenizer(), "x", system="y", chat_template=False)


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no\nsuch role') }}", "{{ ", "{{ x.y.z }}"]
)
def test_a_template_that_fails_is_refused_in_one_line(template):
    with pytest.raises(UsageError) as caught:
        prepare(tokenizer(template), "x")
    assert "\n" not in str(caught.value)


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(UsageError, match="surrogate"):
        prepare(tokenizer(), "a\ud83d")


def test_the_vocabulary_reads_alone():
    subject = tokenizer()
    ids = subject.convert_tokens_to_ids(["a", "Ġ", "ð", "<|end|>"])
    assert vocabulary_text(subject, [*ids, 10_000]) == ["a", " ", "<0xF0>", "<|end|>", "<id 10000>"]


def test_ids_are_read_as_they_are():
    subject = tokenizer()
    text = prepare(subject, "a😀b", chat_template=False)
    prompt = prepare(subject, [256, *text.ids, 257])
    assert prompt.ids == [256, *text.ids, 257]
    assert prompt.tokens == ["<|bos|>", *text.tokens, "<|end|>"]
    assert prompt.roles == ["bos", *text.roles, "eos"]
    assert prompt.spans[1:-1] == [(a + 7, b + 7) for a, b in text.spans]
    assert prepare(subject, np.array(text.ids)).ids == text.ids
    assert prepare(subject, torch.tensor(text.ids)).ids == text.ids


def test_ids_that_spell_no_text_keep_their_places():
    subject = tokenizer()
    half = subject("😀")["input_ids"][:2]
    prompt = prepare(subject, [*half, 64, 262], vocabulary=264)
    assert len(prompt.tokens) == 4
    assert prompt.text == "".join(prompt.tokens[:3])
    assert prompt.tokens[-1] == "<id 262>"


@pytest.mark.parametrize("ids", [[1, -1], [1, 264], [10**30]])
def test_ids_that_the_model_lacks_are_refused(ids):
    with pytest.raises(UsageError, match="264"):
        prepare(tokenizer(), ids, vocabulary=264)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused():
    with pytest.raises(UsageError, match="token id 256 at position 0"):
        prepare(tokenizer(), "x", vocabulary=200)


@pytest.mark.parametrize(
    "prompt", [[1, "a"], [True], 7, [{"role": "user"}, 1], {"ids": [1]}, [[1, "a"]], [1.0, 2.0]]
)
def test_a_prompt_of_no_known_kind_is_refused(prompt):
    with pytest.raises(UsageError, match="list of token ids"):
        prepare(tokenizer(), prompt)


def test_ids_take_no_system_turn_and_messages_take_one():
    with pytest.raises(UsageError, match="`system`"):
        prepare(tokenizer(), [1, 2], system="x")
    with pytest.raises(UsageError, match="`system`"):
        prepare(tokenizer(), [{"role": "system", "content": "x"}], system="x")


def _with_bos(template):
    """Return a tokenizer that itself adds a bos before and an eos after every text."""
    subject = tokenizer(template)
    subject._tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A <|end|>", special_tokens=[("<|bos|>", 256), ("<|end|>", 257)]
    )
    return subject


def test_what_the_tokenizer_adds_has_its_role_and_no_place():
    prompt = prepare(_with_bos(None), "ab")
    assert prompt.tokens == ["<|bos|>", "a", "b", "<|end|>"]
    assert prompt.roles == ["bos", "content", "content", "eos"]
    assert prompt.spans == [(0, 0), (0, 1), (1, 2), (2, 2)]
    assert prompt.notes == []


def test_a_template_with_its_own_bos_gets_no_second_one():
    prompt = prepare(_with_bos(TEMPLATE), "ab")
    assert prompt.ids.count(256) == 1
    assert prompt.notes == []


def test_a_doubled_bos_is_said():
    prompt = prepare(_with_bos(None), "<|bos|>ab")
    assert prompt.roles == ["bos", "bos", "content", "content", "eos"]
    assert "<|bos|> twice" in prompt.notes[0]
    prompt = prepare(tokenizer("{{ bos_token }}" + TEMPLATE), "ab")
    assert "<|bos|> twice" in prompt.notes[0]
    assert "<|bos|> twice" in prepare(tokenizer(), [256, 256, 64]).notes[0]


def test_a_missing_bos_is_said_where_the_tokenizer_would_add_it():
    without = TEMPLATE.replace("{{ bos_token }}", "")
    assert "does not start with <|bos|>" in prepare(_with_bos(without), "ab").notes[0]
    assert "does not start with <|bos|>" in prepare(_with_bos(None), [64, 65]).notes[0]
    assert prepare(tokenizer(without), "ab").notes == []


IDS = [64, 65, 66]


@pytest.mark.parametrize(
    "ids",
    [
        IDS, tuple(IDS), [IDS], (tuple(IDS),), np.array(IDS), np.array([IDS]), torch.tensor(IDS),
        torch.tensor([IDS]), [torch.tensor(i) for i in IDS], [np.int64(i) for i in IDS],
        [torch.tensor(IDS)], {"input_ids": [IDS]},
        BatchEncoding({"input_ids": torch.tensor([IDS])}),
        {"input_ids": [257, *IDS], "attention_mask": [0, 1, 1, 1]},
    ],
)  # fmt: skip
def test_ids_may_be_what_a_tokenizer_returned(ids):
    prompt = prepare(tokenizer(), ids)
    assert prompt.ids == IDS
    assert all(type(token) is int for token in prompt.ids)


def test_messages_may_stand_in_an_object():
    messages = [{"role": "user", "content": "hello"}]
    assert prepare(tokenizer(), {"messages": messages}) == prepare(tokenizer(), messages)


@pytest.mark.parametrize("rows", [[IDS, IDS], torch.tensor([IDS, IDS]), {"input_ids": [IDS, [5]]}])
def test_several_rows_are_refused_in_one_line(rows):
    with pytest.raises(
        UsageError, match="the prompt has 2 rows of token ids, but only one can be read"
    ):
        prepare(tokenizer(), rows)


@pytest.mark.parametrize(
    "encoded",
    [{"input_ids": "abc"}, {"input_ids": [1.5]}, {"input_ids": IDS, "attention_mask": [1]}],
)
def test_a_broken_encoding_is_refused_in_one_line(encoded):
    with pytest.raises(UsageError, match=r"input_ids|attention_mask") as caught:
        prepare(tokenizer(), encoded)
    assert "\n" not in str(caught.value)


def test_special_tokens_among_ids_are_the_templates():
    assert prepare(tokenizer(), [256, 258, 64, 257, 65]).roles == [
        "bos", "template", "content", "template", "content",
    ]  # fmt: skip
