"""Template text and message text are distinguished in every style, or a note says why not."""

import os
from itertools import groupby

import jinja2
import pytest
from transformers import AutoTokenizer

import templates
from attentropy.engine.errors import UsageError
from attentropy.engine.prompt import chat
from attentropy.engine.prompt.prepare import prepare
from templates import STYLES
from tiny import TEMPLATE, tokenizer

MULTI = [
    {"role": "system", "content": "Be brief, user."},
    {"role": "user", "content": " \n What is <b>2</b> + 2? system\n"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "[/INST] model\n\nassistant"},
]
# The contents as each style writes them: some move, trim or drop a part.
AS_GIVEN = [message["content"] for message in MULTI]
TRIMMED = [words.strip() for words in AS_GIVEN]
EXPECTED = {
    "llama3": TRIMMED,
    "chatml": AS_GIVEN,
    "chatml-thinking": AS_GIVEN,
    "gemma": TRIMMED,
    "mistral": [AS_GIVEN[1], AS_GIVEN[2], AS_GIVEN[0], AS_GIVEN[3]],
    "deepseek": AS_GIVEN,
    "phi": AS_GIVEN,
    "llama2": [AS_GIVEN[0], AS_GIVEN[1].rstrip(), AS_GIVEN[2], AS_GIVEN[3]],
    "parts": AS_GIVEN,
}


def runs(prompt, role="content"):
    """Return the text of each run of tokens with `role`."""
    pairs = groupby(zip(prompt.roles, prompt.tokens, strict=True), lambda pair: pair[0])
    return ["".join(token for _, token in pair) for own, pair in pairs if own == role]


@pytest.mark.parametrize("style", STYLES)
def test_a_conversation_with_a_system_prompt_is_content_and_the_rest_template(style):
    prompt = prepare(tokenizer(STYLES[style]), MULTI)
    assert runs(prompt) == EXPECTED[style]
    assert prompt.notes == []
    assert "".join(prompt.tokens) == prompt.text
    outside = "".join(runs(prompt, "template") + runs(prompt, "bos"))
    assert len(outside) + len("".join(EXPECTED[style])) == len(prompt.text)


@pytest.mark.parametrize("style", STYLES)
def test_one_text_is_one_run_of_content(style):
    prompt = prepare(tokenizer(STYLES[style]), "assistant")
    assert runs(prompt) == ["assistant"]
    assert prompt.notes == []


def test_a_date_and_a_system_prompt_that_the_template_brings_are_template():
    prompt = prepare(tokenizer(templates.LLAMA3), "hi")
    assert "Cutoff: December 2023\nToday: " in runs(prompt, "template")[0]
    prompt = prepare(tokenizer(templates.CHATML), "hi")
    assert "You are a helpful assistant." in runs(prompt, "template")[0]
    prompt = prepare(tokenizer(templates.CHATML), "hi", system="You are a helpful assistant.")
    assert runs(prompt) == ["You are a helpful assistant.", "hi"]


CALL = {"name": "weather", "arguments": {"city": "Åbo", "days": 2, "units": {"t": "C"}}}
TOOLS = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "tool_calls": [{"type": "function", "id": "abcdefghi", "function": CALL}],
    },
    {"role": "tool", "content": '{"t": 3}', "name": "weather", "tool_call_id": "abcdefghi"},
]


@pytest.mark.parametrize("style", ["llama3", "chatml", "mistral"])
def test_a_tools_call_and_its_answer_are_content(style):
    turns = TOOLS if style != "mistral" else [*TOOLS, {"role": "user", "content": "So?"}]
    prompt = prepare(tokenizer(STYLES[style]), turns)
    contents = runs(prompt)
    assert contents[0] == "Weather?"
    assert "weather" in contents
    for words in ("city", "Åbo", "days", "2", "units", "t", "C"):
        assert words in contents
    assert '{"t": 3}' in contents
    if style == "mistral":
        assert "abcdefghi" in contents
    for words in ("parameters", "<tool_call>", "<tool_response>", "TOOL_CALLS", "function"):
        assert not any(words in run for run in contents)
    assert prompt.notes == []


def test_a_turn_that_ends_with_a_call_is_not_answered_anew():
    prompt = prepare(tokenizer(templates.CHATML), TOOLS[:2])
    assert prompt.text.endswith("</tool_call><|im_end|>\n")


def test_arguments_may_be_text_as_well():
    call = {"function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    template = templates.CHATML.replace("arguments | tojson", "arguments")
    assert '{"a": 1}' in runs(prepare(tokenizer(template), turns))


REASONED = "<think>\nTwo and two.\n</think>\n\nIt is 4."


def test_reasoning_that_a_template_cuts_out_or_sets_anew_leaves_the_rest_content():
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": REASONED}]
    more = [*turns, {"role": "user", "content": "Sure?"}]
    left_out = ["the chat template leaves out the reasoning of message 2 (assistant)"]
    prompt = prepare(tokenizer(templates.CHATML_THINKING), more)
    assert runs(prompt) == ["2 + 2?", "It is 4.", "Sure?"]
    assert prompt.notes == left_out
    prompt = prepare(tokenizer(templates.CHATML_THINKING), turns)
    assert runs(prompt) == ["2 + 2?", "It is 4."]
    assert runs(prompt, "reasoning") == ["Two and two."]
    assert prompt.notes == []
    prompt = prepare(tokenizer(templates.DEEPSEEK), more)
    assert runs(prompt) == ["2 + 2?", "It is 4.", "Sure?"]
    assert prompt.notes == left_out


def test_parts_of_text_are_read_by_templates_that_take_text_only():
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    for style in ("llama3", "mistral", "parts", "phi"):
        prompt = prepare(tokenizer(STYLES[style]), [{"role": "user", "content": parts}])
        assert "".join(runs(prompt)) == "one two"
        assert "'type'" not in prompt.text
    with pytest.raises(UsageError, match="only text"):
        prepare(tokenizer(), [{"role": "user", "content": [{"type": "image", "url": "x"}]}])


def test_a_dropped_turn_is_said():
    template = TEMPLATE.replace("in messages %}", "in messages if m.role != 'system' %}")
    prompt = prepare(tokenizer(template), "hi", system="be brief")
    assert runs(prompt) == ["hi"]
    assert prompt.notes == ["the chat template leaves out the content of message 1 (system)"]


@pytest.mark.parametrize(
    ("filter_", "shown"),
    [("upper", "AB CD"), ("replace('b', 'bb')", "abb cd"), ("capitalize", "Ab cd"),
     ("reverse", "dc ba"), ("truncate(4, true, '', 0)", "ab c")],
)  # fmt: skip
def test_rewritten_words_are_content_and_it_is_said(filter_, shown):
    prompt = prepare(tokenizer(TEMPLATE.replace("trim", filter_)), "ab cd")
    assert runs(prompt) == [shown]
    assert len(prompt.notes) == 1
    assert "rewrites" in prompt.notes[0]


def test_a_template_that_refuses_every_change_marks_nothing_as_template():
    template = (
        "{% if messages[0].content != 'abc' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ messages[0].content }}]"
    )
    prompt = prepare(tokenizer(template), "abc")
    assert set(prompt.roles) == {"content"}
    assert "rewrites" in prompt.notes[0]


def test_marks_of_any_kind_in_the_words_stay_words():
    words = "\ue000\U0002a000\U0002a001\U000f0000 {{ bos_token }} <|end|>"
    prompt = prepare(tokenizer(), words)
    assert runs(prompt) == [words]
    assert prompt.notes == ["<|end|> in the text became a control token"]


@pytest.fixture
def renderings(monkeypatch):
    """Return the names of the templates that this process itself renders, not a child process."""
    names = []
    render = jinja2.Template.render

    def renders(self, *arguments, **options):
        names.append(self.name)
        return render(self, *arguments, **options)

    monkeypatch.setattr(jinja2.Template, "render", renders)
    return names


def test_a_long_conversation_takes_no_rendering_per_turn(renderings, monkeypatch):
    monkeypatch.delattr(os, "fork")  # so that this process renders everything
    turns = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i}\n"}
        for i in range(999)
    ]
    prompt = prepare(tokenizer(templates.CHATML), turns)
    assert 0 < len(renderings) < 30
    assert len(runs(prompt)) == 999


def test_all_renderings_of_a_prompt_take_one_child(monkeypatch):
    fork, children = os.fork, []

    def noted():
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", noted)
    parts = [{"role": "user", "content": [{"type": "text", "text": "one"}]}]
    prompt = prepare(tokenizer(templates.CHATML), parts * 5)  # several forms, each marked
    assert len(runs(prompt)) == 5
    assert len(children) == 1


def test_a_template_is_rendered_with_its_tokenizers_own_special_tokens(tmp_path):
    """Render all that a template may name, once through transformers' own call."""
    template = (
        "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ image_token }}"
        "{{ strftime_now('%Y')|length }}{{ tools|tojson }}{{ mood }}"
        "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}{{ add_generation_prompt }}"
    )
    tokenizer({"default": "no {{ messages[0].content }}", "tool_use": template}).save_pretrained(
        tmp_path
    )
    own = AutoTokenizer.from_pretrained(tmp_path, extra_special_tokens={"image_token": "<image>"})
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = [{"role": "user", "content": "words"}]
    wanted = own.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, tools=tools, mood="<b>"
    )
    assert wanted.startswith("<|bos|><|end|>False<image>4[")
    prompt = prepare(own, messages, tools=tools, template_args={"mood": "<b>"})
    assert prompt.text == wanted


HOSTILE = {
    "text": "{{ 'a' * 300000000 }}",
    "list": "{{ ([0] * 300000000) | length }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "format": "{{ '%900000000d' % 1 }}",
    "doubling": "{% set n = namespace(x='ab') %}{% for i in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x | length }}",
    "long": "{% for i in range(3000) %}{{ 'a' * 1000 }}{% endfor %}",
    "loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "nested": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__['os'].system('touch taken') }}",
    "function": "{{ messages.__init__.__globals__ }}",
    "attribute": "{{ (messages | attr('__class__')).__base__ }}",
    "format map": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "import": "{% import 'os' as os %}{{ os.system('touch taken') }}",
    "include": "{% include '/etc/passwd' %}",
    "change": "{% set _ = messages.append(1) %}",
}


@pytest.mark.costly
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_one_line(name, tmp_path, monkeypatch, renderings):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chat, "_SECONDS", 1)
    with pytest.raises(UsageError, match="`chat_template=False`") as caught:
        prepare(tokenizer(HOSTILE[name]), "x")
    assert renderings == []  # none in this process: a bounded child process rendered it
    assert "\n" not in str(caught.value)
    assert os.listdir() == []
