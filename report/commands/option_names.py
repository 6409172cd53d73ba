"""The messages of the engine, which name Python arguments, in the words of the command line.

A message names an argument in backticks: `force=True`, `map_tile`, `lens="none"`. On a terminal it
becomes the option: --force, --map-tile, --lens none.
"""

from __future__ import annotations

import ast
import re
from typing import Any

_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")

# The options that do not have the name of their argument.
_NAMES = {
    "format": "-o",
    "output": "-o",
    "prompt": "-p, -f or -m",
    "redact": "--redact-tokens",
    "sections": "--section",
    "tools": "-m",
    "windows": "--window",
}
# Arguments that are on where nobody says so: the option switches them off.
_NEGATED = {"chat_template", "reference", "scores", "thumbnails"}
_WITHOUT_OPTION = {"answer", "level", "model", "tokenizer"}  # of Python alone


def option_words(message: str) -> str:
    """Return a message with the option in place of each argument in backticks."""
    return _ARGUMENT.sub(lambda match: _option(match[1], match[2]), message)


def option_keys(facts: Any) -> Any:
    """Return JSON values with options in place of arguments, in all keys and texts."""
    if isinstance(facts, dict):
        return {option_words(str(name)): option_keys(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [option_keys(value) for value in facts]
    return option_words(facts) if isinstance(facts, str) else facts


def _option(name: str, value: str | None) -> str:
    """Return the option of an argument with the text of its value, None for no value."""
    if name in _WITHOUT_OPTION:
        return name
    option = _NAMES.get(name, f"--{name.replace('_', '-')}")
    if value is None:
        return option
    try:
        number_or_text = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        number_or_text = value
    if number_or_text is True:
        return option
    if number_or_text is False:
        return f"--no-{name.replace('_', '-')}" if name in _NEGATED else option
    if isinstance(number_or_text, tuple):
        return f"{option} {':'.join(str(part) for part in number_or_text)}"
    return f"{option} {number_or_text}"
