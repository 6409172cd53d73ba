"""The prompt of a run, read from the options and checked: text, messages or token ids."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from attentropy.engine.errors import UsageError

Message = dict[str, Any]
"""A chat message, with its role and content."""

Prompt = str | list[Message] | list[int]
"""A text, chat messages, or token ids."""


def read_prompt(
    text: str | None, file: str | None, messages: str | None, ids: str | None
) -> Prompt | None:
    """Return the prompt as text, messages or ids; None if no option names one.

    Raises:
        UsageError: several options name one, or the prompt cannot be read or is empty.
    """
    if sum(source is not None for source in (text, file, messages, ids)) > 1:
        raise UsageError("give one of -p, -f, -m and --ids")
    if text is not None and not text.strip():
        raise UsageError("the prompt is empty; give some text with -p, -f or -m")
    if file is not None:
        return _read_text(file)
    if messages is not None:
        return _parse_messages(_read_text(messages), repr(Path(messages).name))
    if ids is not None:
        return _parse_ids(_read_text(ids), "standard input" if ids == "-" else repr(Path(ids).name))
    return text


def _parse_messages(text: str, name: str) -> list[Message]:
    try:
        turns = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON ({error})") from error
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise UsageError('messages are a JSON list of {"role": …, "content": …}')
    if not turns:
        raise UsageError("the list of messages is empty")
    return turns


def _parse_ids(text: str, name: str) -> list[int]:
    try:
        ids = json.loads(text) if "[" in text else [int(n) for n in text.split()]
    except ValueError as error:
        raise UsageError(f"{name} is neither a JSON list nor numbers between blanks") from error
    if not isinstance(ids, list) or any(type(token) is not int for token in ids):
        raise UsageError(f"{name} holds something other than whole numbers")
    if not ids:
        raise UsageError(f"{name} holds no token id")
    return ids


def _read_text(file: str) -> str:
    name = "standard input" if file == "-" else repr(Path(file).name)
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from error
