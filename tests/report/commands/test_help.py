"""Every option has a help text: a thing first, one sentence or more, and no phrase of the list."""

import re

import click
import pytest
from wording import phrases_in

from attentropy.report.cli import attentropy as cli
from read_aloud import helps

_CONTEXT = click.Context(cli, info_name="attentropy")
COMMANDS = {name: cli.get_command(_CONTEXT, name) for name in cli.list_commands(_CONTEXT)}
# Fragments that say of what something is, but not what it is.
_FRAGMENT = re.compile(r"^(of|in|kept|what|where|that|it)\b", re.IGNORECASE)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_says_in_a_sentence_what_it_is(name):
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.hidden]
    assert options
    for option in options:
        text = re.sub(r"\s*\[default: [^]]*\]$", "", option.help or "")
        assert text[:1].isupper(), (option.opts, text)
        assert text.endswith("."), (option.opts, text)
        assert not _FRAGMENT.match(text), (option.opts, text)
        assert "default" not in text, (option.opts, "say it as [default: …]")


def test_no_help_has_a_forbidden_phrase():
    texts = list(helps())
    assert len(texts) == 1 + len(COMMANDS)
    assert [(one.place, bad) for one in texts if (bad := phrases_in(one.text))] == []
