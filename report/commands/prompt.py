"""The prompt of a run, read from the options and checked: text, messages or token ids."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.checks.json_text import BadJson, parse_json
from attentropy.report.text import for_terminal

Message = dict[str, Any]
"""A chat message, with its role and content."""

Prompt = str | list[Message] | list[int] | dict[str, Any]
"""A text, chat messages, token ids, or messages and tools in an object."""

_FORMS = (
    'messages are a JSON list of {"role": …, "content": …}, {"messages": [that list]}, or one '
    "message per line"
)


def read_prompt(
    text: str | None, file: str | None, messages: str | None, ids: str | None
) -> Prompt | None:
    """Return the prompt as text, messages or ids; None if no option names one.

    `-` is standard input in all of them. What is dropped from a file is noted on standard error.

    Raises:
        UsageError: several options name one, or the prompt cannot be read or is empty.
    """
    if sum(source is not None for source in (text, file, messages, ids)) > 1:
        raise UsageError("give one of -p, -f, -m and --ids")
    if text == "-":
        text, file = None, "-"
    if file is not None:
        return _read_text(file, note_mark=True)
    if messages is not None:
        return parse_messages(_read_text(messages), _name_of(messages))
    if ids is not None:
        return parse_ids(_read_text(ids), _name_of(ids))
    return text


def parse_template_args(text: str) -> dict[str, Any]:
    """Return the arguments of a chat template. Raises `UsageError` for no object of JSON."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UsageError(f"--template-args is {error}") from error
    if not isinstance(value, dict):
        raise UsageError('--template-args must be a JSON object, such as {"enable_thinking": true}')
    return value


def parse_messages(text: str, name: str) -> list[Message] | dict[str, Any]:
    """Return the messages of a JSON list, of {"messages": [...]}, or of lines of JSON.

    With "tools" besides the messages, both are returned in an object.

    A line is a message, or {"messages": [...]} if there is no other. name: of the source, for
    messages. Raises `UsageError` for anything else.
    """
    try:
        value = parse_json(text)
    except BadJson as error:
        value = _parse_lines(text, name, error)
    if isinstance(value, dict):
        value = [value]
    is_list = isinstance(value, list) and all(isinstance(turn, dict) for turn in value)
    if not is_list:
        raise UsageError(f"{name}: {_FORMS}")
    conversations = [turn for turn in value if "messages" in turn and "role" not in turn]
    if conversations:
        if len(value) > 1:
            raise UsageError(f"{name} has {len(value)} conversations; give a file with one of them")
        return _unwrap(conversations[0], name)
    if not value:
        raise UsageError("the list of messages is empty")
    if "role" not in value[0]:
        raise UsageError(f"{name}: {_FORMS}")
    return list(value)


def _unwrap(conversation: Mapping[str, Any], name: str) -> list[Message] | dict[str, Any]:
    if others := [key for key in conversation if key not in ("messages", "tools")]:
        _note(
            f'{name}: only "messages" and "tools" are read, not {", ".join(map(repr, others[:5]))}'
        )
    messages = parse_messages(json.dumps(conversation["messages"]), name)
    if not conversation.get("tools"):
        return messages
    return {"messages": messages, "tools": conversation["tools"]}


def _parse_lines(text: str, name: str, error: BadJson) -> list[Any]:
    """Return the values of the lines of a JSONL file; `error` says why it is not one of JSON."""
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    values = []
    for i, line in lines:
        try:
            values.append(parse_json(line))
        except ValueError as line_error:
            if not values:  # the first line alone is no JSON: the file was meant as one value
                raise UsageError(f"{name} is {error}") from error
            raise UsageError(f"{name}: line {i} is {line_error}") from line_error
    return values


def parse_ids(text: str, name: str) -> list[int]:
    """Return the token ids of a text: JSON, or numbers between commas or blanks.

    The JSON is a list, a list with that list in it, or an object that has it as "input_ids".
    Raises `UsageError` for anything else.
    """
    value = _parse_numbers(text, name)
    if isinstance(value, dict):
        if "input_ids" not in value:
            raise UsageError(f'{name} has no "input_ids"')
        value = value["input_ids"]
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        if len(value) > 1:
            raise UsageError(f"{name} has {len(value)} lists of token ids; give one of them")
        value = value[0]
    if not isinstance(value, list) or any(type(token) is not int for token in value):
        raise UsageError(f"{name} contains something other than whole numbers")
    if not value:
        raise UsageError(f"{name} contains no token ids")
    return value


def _parse_numbers(text: str, name: str) -> Any:
    try:
        if "[" in text or "{" in text:
            return parse_json(text)
        numbers = text.strip().removesuffix(",").rstrip()
        return [int(number) for number in re.split(r"\s*,\s*|\s+", numbers)] if numbers else []
    except ValueError as error:
        raise UsageError(
            f"{name} is neither JSON nor whole numbers separated by commas or spaces"
        ) from error


def _read_text(file: str, *, note_mark: bool = False) -> str:
    """Return the text of a file or of standard input, without a byte-order mark."""
    name = _name_of(file)
    try:
        raw = _read_input() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"{name} is UTF-16 text; save it as UTF-8")
    if raw.startswith(codecs.BOM_UTF8):
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if note_mark:
            _note(f"{name} starts with a byte-order mark, which is not part of the prompt")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from error


def _read_input() -> bytes:
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        _note(f"type the prompt, then end it with {end} on a line of its own")
    return sys.stdin.buffer.read()


def _name_of(file: str) -> str:
    return "standard input" if file == "-" else repr(Path(file).name)


def _note(text: str) -> None:
    click.echo(f"note: {for_terminal(text)}", err=True)
