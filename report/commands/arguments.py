"""The one place where the parameters of a command become keyword arguments of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.lens.budget import SITES
from attentropy.engine.trace.statistics import OPTIONAL_STATS
from attentropy.report.commands.prompt import read_prompt

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
        UsageError: several prompts, a prompt that cannot be read, or sites that exclude each other.
    """
    arguments = {
        name: value
        for name, value in parameters.items()
        if name not in _PROMPT_SOURCES and value is not None and value != ()
    }
    if "prompt" in parameters:
        arguments["prompt"] = read_prompt(*(parameters[source] for source in _PROMPT_SOURCES))
    if "no_chat_template" in arguments:
        arguments["chat_template"] = not arguments.pop("no_chat_template")
    if "stats" in arguments:
        arguments["stats"] = parse_stats(arguments["stats"])
    if "lens" in arguments:
        arguments["sites"] = parse_sites(arguments.pop("lens"))
    return arguments


def parse_stats(text: str) -> tuple[str, ...]:
    """Return the attention statistics that --stats names; "all" is all of them."""
    stats = _split(text)
    return ("entropy", *OPTIONAL_STATS) if "all" in stats else stats


def parse_sites(text: str) -> tuple[str, ...]:
    """Return the sites of the lens that --lens names; () for "none", all for "all".

    Raises `UsageError`.
    """
    sites = _split(text)
    if "none" in sites and len(sites) > 1:
        raise UsageError("--lens none reads nothing; leave out the other sites")
    if "all" in sites:
        return SITES
    return () if sites == ("none",) else sites


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))
