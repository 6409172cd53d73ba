"""What a template gets besides plain messages, and what it leaves out, is note token by token."""

from itertools import groupby

import pytest

import templates
from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.reasoning import leaves_reasoning_open, split_reasoning
from tiny import TEMPLATE, tokenizer

QWEN = (
    templates.CHATML
    + "{%- if enable_thinking is false %}{{- '<think>\\n\\n</think>' }}{%- endif %}"
)
# As GLM 4.6: each argument of a call in tags of its own; truth values in the template's words.
TAGGED = (
    "{% for m in messages %}[{{ m.role }}]"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content or '' }}{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}"
    "{% for k, v in c.function.arguments.items() %}<key>{{ k }}</key>"
    "<value>{{ v if v is string else v | tojson }}</value>{% endfor %}</call>"
    "{% endfor %}{% endfor %}"
)
CALL = {"function": {"name": "fn", "arguments": {"city": "Paris", "days": 2, "exact": True}}}
CALLED = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "21"},
]
TOOLS = [{"type": "function", "function": {"name": "fn", "description": "Weather of a town"}}]


def runs(prompt, values, wanted):
    """Return the text of each run of tokens whose value is `wanted`."""
    pairs = groupby(zip(values, prompt.tokens, strict=True), lambda pair: pair[0])
    return ["".join(token for _, token in pair) for own, pair in pairs if own == wanted]


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_a_document_and_a_question_are_one_turn_with_two_segments(chat, end):
    prompt = prepare(tokenizer(), f"A b.\n\nC.{end}", question="Why?", chat_template=chat)
    assert "A b.\n\nC.\n\nWhy?" in prompt.text
    assert runs(prompt, prompt.segments, "document") == ["A b.\n\nC."]
    assert runs(prompt, prompt.segments, "question") == ["Why?"]
    assert prompt.coordinates()["segment"][1].tolist() == prompt.segments
    assert prompt.text.count("user") == chat


def test_segments_move_with_a_template_that_trims_the_turn_or_puts_words_before_it():
    for style in ("llama3", "gemma", "mistral", "llama2", "parts"):
        subject = tokenizer(templates.STYLES[style])
        prompt = prepare(subject, " Doc Doc", question="Doc? \n", system="Doc")
        assert runs(prompt, prompt.segments, "document")[0].strip() == "Doc Doc"
        assert runs(prompt, prompt.segments, "question")[0].strip() == "Doc?"


def test_a_question_needs_a_text():
    for prompt in ([{"role": "user", "content": "x"}], [1, 2]):
        with pytest.raises(UsageError, match="`question`"):
            prepare(tokenizer(), prompt, question="Why?")
    with pytest.raises(UsageError, match="`question`"):
        prepare(tokenizer(), "x", question=" ")


def test_words_name_their_message_and_so_does_the_template_between_them():
    prompt = prepare(tokenizer(TAGGED), CALLED)
    assert runs(prompt, prompt.messages, 0) == ["Hello"]
    assert runs(prompt, prompt.messages, 2) == ["21"]
    inside = "<key>city</key><value>Paris</value><key>days</key><value>2</value>"
    assert runs(prompt, prompt.messages, 1) == [f"fn{inside}<key>exact</key><value>true"]
    assert prepare(tokenizer(None), "x").coordinates().keys().isdisjoint({"message", "segment"})


def test_names_and_values_of_arguments_are_content_and_markup_between_them_is_not():
    prompt = prepare(tokenizer(TAGGED), CALLED)
    assert runs(prompt, prompt.roles, "content") == [
        "Hello", "fn", "city", "Paris", "days", "2", "exact", "true", "21",
    ]  # fmt: skip
    assert prompt.notes == []


def test_a_sorted_mapping_and_one_that_is_looked_up_are_found_as_far_as_they_show():
    template = "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    ending = "{% endfor %}{% endfor %}"
    words = "{% for k, v in c.function.arguments | dictsort %}<{{ k }}|{{ v }}>{% endfor %}"
    prompt = prepare(tokenizer(template + "{{ c.function.name }}" + words + ending), CALLED)
    assert "fn<city|Paris><days|2><exact|True>" in prompt.text
    assert runs(prompt, prompt.roles, "content") == [
        "Hellofn", "city", "Paris", "days", "2", "exact", "True", "21",
    ]  # fmt: skip
    one = "{{ c.function.name }}({{ c.function.arguments['city'] }})"
    prompt = prepare(tokenizer(template + one + ending), CALLED)
    assert runs(prompt, prompt.roles, "content") == ["Hellofn", "Paris", "21"]


def _drops(what):
    """Return the notes of a template that leaves something out."""
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Well.", "reasoning_content": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "content": "21"},
    ]
    return prepare(tokenizer(TAGGED.replace(*what)), turns).notes


def test_what_a_template_leaves_out_is_noted_in_whole_and_in_part():
    note = "the chat template leaves out {} of message 2 (assistant)"
    assert _drops(("", "")) == []
    assert _drops(("m.tool_calls or", "")) == [note.format("the tool calls")]
    assert _drops(("arguments.items()", "missing or []")) == [
        note.format("a part of the tool calls")
    ]
    assert _drops(("m.reasoning_content %}", "false %}")) == [note.format("the reasoning")]
    assert _drops(("m.content", "(m.content if m.role != 'assistant' else '')")) == [
        note.format("the content")
    ]
    template = TEMPLATE.replace("m['content']", "m['content'].split('<cut>')[0]")
    prompt = prepare(tokenizer(template), "kept <cut> lost")
    assert runs(prompt, prompt.roles, "content") == ["kept"]
    assert prompt.notes == [
        "the chat template leaves out a part of the content of message 1 (user)"
    ]


def test_reasoning_in_a_content_has_its_role_wherever_the_template_leaves_it():
    turns = [
        {"role": "user", "content": "<think>mine</think>"},
        {"role": "assistant", "content": "<think>\nOne.\n</think>\n\nTwo."},
        {"role": "assistant", "content": "Three.\n</think>\nFour."},
    ]
    prompt = prepare(tokenizer(), [*turns, {"role": "user", "content": "go"}])
    assert runs(prompt, prompt.roles, "reasoning") == ["One.", "Three."]
    assert runs(prompt, prompt.roles, "content") == ["<think>mine</think>", "Two.", "Four.", "go"]


def test_markers_of_reasoning_cut_a_text():
    text = "a<think>b</think>c"
    assert [(role, text[a:b]) for role, (a, b) in split_reasoning(text)] == [
        ("content", "a"), ("reasoning", "b"), ("content", "c"),
    ]  # fmt: skip
    assert split_reasoning("b</think>c", is_open=True)[0][0] == "reasoning"
    assert split_reasoning("only") == [("content", (0, 4))]
    assert split_reasoning("b", is_open=True) == [("reasoning", (0, 1))]
    assert leaves_reasoning_open("x<think>\n")
    assert not leaves_reasoning_open("x<think>\n\n</think>\n\n")
    assert not leaves_reasoning_open("x")


def test_the_template_gets_its_arguments_and_one_that_it_does_not_read_is_noted():
    prompt = prepare(tokenizer(QWEN), "hi", template_args={"enable_thinking": False})
    assert prompt.text.endswith("<think>\n\n</think>")
    assert runs(prompt, prompt.roles, "content") == ["hi"]
    assert prompt.notes == []
    prompt = prepare(tokenizer(), "hi", template_args={"enable_thinking": False})
    assert prompt.notes == ["the chat template does not read 'enable_thinking'"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tokenize": True}, "tokenize"),
        ({"tools": 3}, "list"),
        ([1], "mapping"),
        ({1: 2}, "mapping"),
    ],
)
def test_arguments_that_are_not_the_templates_are_refused_in_one_line(arguments, words):
    with pytest.raises(UsageError, match=words):
        prepare(tokenizer(QWEN), "hi", template_args=arguments)
    with pytest.raises(UsageError):
        prepare(tokenizer(QWEN), "hi", template_args=arguments, chat_template=False)


def _add(first: int, second: int) -> int:
    """
    Add two numbers.

    Args:
        first: One number
        second: Another one
    """
    return first + second


def test_tools_and_documents_are_the_callers_words_in_segments_of_their_own():
    template = (
        "{% for t in tools or [] %}<tool>{{ t | tojson }}</tool>{% endfor %}"
        "{% for d in documents or [] %}<doc>{{ d.text }}</doc>{% endfor %}" + TEMPLATE
    )
    documents = {"documents": [{"text": "One fact"}, {"text": "Another"}]}
    prompt = prepare(tokenizer(template), "hi", tools=TOOLS, template_args=documents)
    assert runs(prompt, prompt.roles, "content") == [
        "fn", "Weather of a town", "One fact", "Another", "hi",
    ]  # fmt: skip
    assert runs(prompt, prompt.segments, "tools") == ['fn", "description": "Weather of a town']
    assert runs(prompt, prompt.segments, "documents") == ["One fact</doc><doc>Another"]
    request = {"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}
    assert prepare(tokenizer(template), request, template_args=documents) == prompt
    with pytest.raises(UsageError, match="`tools`"):
        prepare(tokenizer(template), request, tools=TOOLS)
    assert "Add two numbers" in prepare(tokenizer(template), "hi", tools=[_add]).text
    with pytest.raises(UsageError, match="`tools`"):
        prepare(tokenizer(template), "hi", tools=[print])
    prompt = prepare(tokenizer(), "hi", tools=TOOLS, template_args=documents)
    assert prompt.notes == [
        "the chat template leaves out the tools", "the chat template leaves out the documents",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content", ["m.content + 'x'", "(m.content or '')", "('' if m.content is none else m.content)"]
)
def test_a_content_that_is_null_runs_as_the_template_takes_it(content):
    template = f"{{% for m in messages %}}<{{{{ {content} }}}}>{{% endfor %}}"
    prompt = prepare(tokenizer(template), CALLED)
    end = "x" if "+" in content else ""
    assert prompt.text == f"<Hello{end}><{end}><21{end}>"


def test_arguments_as_json_become_a_mapping_for_a_template_that_takes_nothing_else():
    call = {"function": {"name": "fn", "arguments": '{"city": "Paris"}'}}
    turns = [CALLED[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    prompt = prepare(tokenizer(TAGGED), turns)
    assert prompt.text.endswith("<call>fn<key>city</key><value>Paris</value></call>")


def test_a_rejected_chat_is_told_what_can_be_done():
    refusing = tokenizer("{{ raise_exception('no') }}")
    with pytest.raises(UsageError, match="`chat_template=False`"):
        prepare(refusing, "x")
    with pytest.raises(UsageError, match="rejects these messages") as caught:
        prepare(refusing, CALLED)
    assert "chat_template=False" not in str(caught.value)


def test_control_tokens_that_a_user_typed_are_noted_and_those_of_the_template_are_not():
    note = "<|end|> in the text became a control token"
    assert prepare(tokenizer(), "hi").notes == []
    assert prepare(tokenizer(), "a<|end|>b").notes == [note]
    assert prepare(tokenizer(None), "a<|end|>b<|end|>").notes == [f"{note} (2 times)"]
    assert prepare(tokenizer(), [{"role": "user", "content": "<|end|>"}]).notes == [note]
