"""Placebo questions are written as the prompt was, and end in the same template tokens."""

from dataclasses import replace

import pytest

from attentropy.engine.prompt.placebo import QUESTIONS, placebo_prompts
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.run.placebo import sought
from attentropy.engine.trace.content_words import word_keys
from templates import STYLES
from tiny import TEMPLATE, tokenizer

TOOLS = [{"type": "function", "function": {"name": "look", "description": "d" * 800}}]
WITH_TOOLS = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}" + TEMPLATE


def _placebos(own, prompt, **options):
    return placebo_prompts(own, prompt, prepare(own, prompt, **options), **options)


def _texts(own, placebos):
    return [own.decode(list(ids)) for ids in placebos.ids]


@pytest.mark.parametrize("style", STYLES)
def test_each_question_ends_as_the_prompt_does(style):
    own = tokenizer(STYLES[style])
    prompt = prepare(own, "Where is it?")
    placebos = placebo_prompts(own, "Where is it?", prompt)
    end = len(prompt.ids) - placebos.shared
    assert placebos.why_not is None
    assert placebos.shared > 0
    assert set(prompt.roles[end:]) == {"template"}
    assert prompt.roles[end - 1] == "content"  # bytes are tokens: no template token is left out
    for question, text, ids in zip(QUESTIONS, _texts(own, placebos), placebos.ids, strict=True):
        assert question in text
        assert list(ids[-placebos.shared :]) == prompt.ids[end:]


def test_the_system_turn_stays_and_the_other_turns_go():
    own = tokenizer()
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two"}, {"role": "user", "content": "Three?"},
    ]  # fmt: skip
    for text in _texts(own, _placebos(own, messages)):
        assert "Be brief." in text
        assert not any(word in text for word in ("One", "Two", "Three"))


def test_tools_stay_unless_the_questions_would_be_long():
    own = tokenizer(WITH_TOOLS)
    placebos = _placebos(own, "Where?", tools=TOOLS)
    assert not any("look" in text for text in _texts(own, placebos))
    short = [{"type": "function", "function": {"name": "look"}}]
    placebos = _placebos(own, "Where?", tools=short)
    assert all("look" in text for text in _texts(own, placebos))


def test_a_question_that_the_prompt_asks_is_left_out():
    own = tokenizer()
    first = QUESTIONS[0]
    texts = _texts(own, _placebos(own, f"Tell me: {first.lower()}"))
    assert len(texts) == len(QUESTIONS) - 1
    assert not any(first in text for text in texts)
    everything = " ".join(QUESTIONS)
    assert _placebos(own, everything).why_not == "the prompt asks the placebo questions itself"


def test_there_are_five_questions_or_more_even_when_one_is_asked():
    assert len(QUESTIONS) > 5
    assert all(word_keys(question) for question in QUESTIONS)


@pytest.mark.parametrize(
    ("template", "prompt", "why"),
    [(TEMPLATE, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
      "the prompt has no template token after its last word"),
     ("{% if 'Where' not in messages[0]['content'] %}{{ raise_exception('no') }}{% endif %}"
      + TEMPLATE, "Where?", "the chat template rejects the placebo questions"),
     ("{% for m in messages %}{{ m['content'] }}{% endfor %}<|end|>{{ messages | length }}"
      "{{ 'x' if 'Where' in messages[-1]['content'] else 'y' }}", "Where?",
      "the template ends in other tokens after other questions")],
)  # fmt: skip
def test_what_cannot_be_asked_says_why(template, prompt, why):
    own = tokenizer(template)
    placebos = _placebos(own, prompt)
    assert placebos.why_not == why
    assert placebos.ids == ()


def test_only_content_words_that_are_not_in_the_prompt_are_looked_for():
    own = tokenizer()
    text = prepare(own, "Is Paris big?")
    tokens = [" Paris", " is", " the", " Lou", "vre", "."]
    whole = replace(
        text, tokens=text.tokens + tokens, roles=text.roles + ["generated"] * len(tokens)
    )
    keep = sought(whole, len(text.ids), [True] * 5 + [False])
    assert keep == [False, False, False, True, True, False]


def test_a_token_that_is_a_word_of_the_prompt_by_itself_is_not_looked_for():
    text = prepare(tokenizer(), "Is 1 odd?")
    tokens = [" ", "1", "7", "x"]  # one word, which is not in the prompt
    roles = text.roles + ["generated"] * len(tokens)
    whole = replace(text, tokens=text.tokens + tokens, roles=roles)
    assert sought(whole, len(text.ids), [True] * len(tokens)) == [False, False, True, True]


@pytest.mark.parametrize(
    ("tokens", "wanted"), [([" Par"], [False]), ([" Par", "."], [True, False])]
)
def test_a_word_of_the_prompt_that_the_limit_cuts_is_not_looked_for(tokens, wanted):
    text = prepare(tokenizer(), "Is Paris big?")
    roles = text.roles + ["generated"] * len(tokens)
    whole = replace(text, tokens=text.tokens + tokens, roles=roles)
    assert sought(whole, len(text.ids), [True] * len(tokens)) == wanted
