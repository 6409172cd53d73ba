"""Every option has a help text: a thing first, one sentence or more, and no phrase of the list."""

import re
import shlex

import click
import pytest
from wording import phrases_in

from attentropy.report.cli import attentropy as cli
from read_aloud import helps

_CONTEXT = click.Context(cli, info_name="attentropy", **cli.context_settings)
TOP = {name: cli.get_command(_CONTEXT, name) for name in cli.list_commands(_CONTEXT)}
COMMANDS = {name: one for name, one in TOP.items() if not isinstance(one, click.Group)} | {
    f"{name} {part}": inner
    for name, one in TOP.items()
    if isinstance(one, click.Group)
    for part, inner in one.commands.items()
}
# Fragments that say of what something is, but not what it is.
_FRAGMENT = re.compile(r"^(of|in|kept|what|where|that|it)\b", re.IGNORECASE)
# Options of a run that `info` and `profile` have, too.
_SHARED = {
    "revision", "layers", "heads", "map_tile", "windows", "lens", "lens_layers", "lens_positions",
    "chunk", "storage",
}  # fmt: skip


def _plain(option):
    return re.sub(r"\s*\[default: [^]]*\]$", "", option.help or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_says_in_a_sentence_what_it_is(name):
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.hidden]
    assert options
    for option in options:
        text = _plain(option)
        assert text[:1].isupper(), (option.opts, text)
        assert text.endswith("."), (option.opts, text)
        assert not _FRAGMENT.match(text), (option.opts, text)
        assert "default" not in text, (option.opts, "say it as [default: …]")


def test_no_help_has_a_forbidden_phrase():
    texts = list(helps())
    assert len(texts) == 1 + len({*TOP, *COMMANDS})
    assert [(one.place, bad) for one in texts if (bad := phrases_in(one.text))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_ends_with_examples_that_the_command_understands(name):
    command = COMMANDS[name]
    first, title, *lines = command.epilog.splitlines()
    assert (first, title) == ("\b", "Examples:")  # click keeps the lines of such a paragraph
    for line in lines:
        assert len(line) < 80
        assert line.strip().startswith(f"attentropy {name}")
        arguments = shlex.split(line)[1 + len(name.split()) :]
        with command.make_context(name, arguments, _CONTEXT):
            pass


def test_an_option_has_the_same_words_in_every_command():
    texts = {}
    for name in ("report", "extract", "profile", "info"):
        for option in COMMANDS[name].params:
            if isinstance(option, click.Option) and option.name in _SHARED:
                texts.setdefault(option.name, set()).add(_plain(option))
    assert set(texts) == _SHARED
    assert {name: words for name, words in texts.items() if len(words) > 1} == {}


@pytest.mark.parametrize("name", ["extract", "report", "info", "profile"])
def test_a_chunk_is_a_number_of_tokens_or_of_binary_thousands(name):
    command = COMMANDS[name]
    for text, tokens in (("4k", 4096), ("512", 512)):
        assert command.make_context(name, ["--chunk", text], _CONTEXT).params["chunk"] == tokens
    for text in ("0", "-1", "few"):
        with pytest.raises(click.BadParameter):
            command.make_context(name, ["--chunk", text], _CONTEXT)
