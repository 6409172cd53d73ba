"""The one place where the parameters of a command become keyword arguments of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attentropy.report.commands.prompt import parse_template_args, read_prompt
from attentropy.report.commands.segments import read_segments
from attentropy.report.commands.source_options import read_tested

Parameters = Mapping[str, Any]
"""The parameters of a command by name, as click passes them."""

Arguments = dict[str, Any]
"""Keyword arguments of `extract`, `profile` or `describe`."""

_PROMPT_SOURCES = ("prompt", "file", "messages", "ids")


def run_arguments(parameters: Parameters) -> Arguments:
    """Return the keyword arguments of `extract` for the parameters of a command.

    Options that were not given are left out, so that the defaults of `extract` apply. `profile`
    and `describe` take the same arguments.

    Raises:
        UsageError: several prompts, or a prompt that cannot be read.
    """
    arguments = {
        name: value
        for name, value in parameters.items()
        if name not in _PROMPT_SOURCES and value is not None and value != ()
    }
    if "prompt" in parameters:
        arguments["prompt"] = read_prompt(*(parameters[source] for source in _PROMPT_SOURCES))
    if "template_args" in arguments:
        arguments["template_args"] = parse_template_args(arguments["template_args"])
    if "segments" in arguments:
        arguments["segments"] = read_segments(arguments["segments"])
    if "test_sources" in arguments:
        arguments["test_sources"] = read_tested(arguments["test_sources"])
    if "target_text" in arguments:
        arguments["target"] = arguments.pop("target_text")
    if "no_chat_template" in arguments:
        arguments["chat_template"] = not arguments.pop("no_chat_template")
    if "no_reference" in arguments:
        arguments["reference"] = not arguments.pop("no_reference")
    return arguments
