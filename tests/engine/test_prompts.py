"""Every token has its text, its place and its role, whatever the prompt holds."""

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.prompts import prepare
from attentropy.engine.tokens import vocabulary_text
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
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(UsageError, match="empty"):
        prepare(tokenizer(), prompt)
    if isinstance(prompt, str):
        with pytest.raises(UsageError, match="empty"):
            prepare(tokenizer(), prompt, chat_template=False)


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
    "template",
    ["{{ raise_exception('no\nsuch role') }}", "{{ 'a' * 300000000 }}", "{{ ", "{{ x.y.z }}"],
)
def test_a_template_that_fails_or_explodes_is_refused_in_one_line(template):
    with pytest.raises(UsageError) as caught:
        prepare(tokenizer(template), "x")
    assert "\n" not in str(caught.value)


def test_a_template_that_rewrites_the_content_leaves_no_content_role():
    prompt = prepare(tokenizer(TEMPLATE.replace("| trim", "| upper")), "abc")
    assert "content" not in prompt.roles


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(UsageError, match="surrogate"):
        prepare(tokenizer(), "a\ud83d")


def test_the_vocabulary_reads_alone():
    made = tokenizer()
    ids = made.convert_tokens_to_ids(["a", "Ġ", "ð", "<|end|>"])
    assert vocabulary_text(made, [*ids, 10_000]) == ["a", " ", "<0xF0>", "<|end|>", "<id 10000>"]
