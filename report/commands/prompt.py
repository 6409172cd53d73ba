"""The prompt that the options name, read and checked: text, messages or token ids."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from attentropy.engine.errors import UsageError


def given_prompt(text: str | None, file: str | None, messages: str | None, ids: str | None) -> Any:
    """The prompt as text, messages or ids; None where none was given."""
    if sum(source is not None for source in (text, file, messages, ids)) > 1:
        raise UsageError("give one of -p, -f, -m and --ids")
    if text is not None and not text.strip():
        raise UsageError("the prompt is empty; give some text with -p, -f or -m")
    if file is not None:
        return _read(file)
    if messages is not None:
        try:
            found = json.loads(_read(messages))
        except ValueError as error:
            raise UsageError(f"{Path(messages).name!r} is not JSON ({error})") from error
        if not isinstance(found, list) or not all(isinstance(turn, dict) for turn in found):
            raise UsageError('messages are a JSON list of {"role": …, "content": …}')
        if not found:
            raise UsageError("the list of messages is empty")
        return found
    if ids is not None:
        return _ids(_read(ids), "standard input" if ids == "-" else repr(Path(ids).name))
    return text


def _ids(written: str, name: str) -> list[int]:
    try:
        found = json.loads(written) if "[" in written else [int(n) for n in written.split()]
    except ValueError as error:
        raise UsageError(f"{name} is neither a JSON list nor numbers between blanks") from error
    if not isinstance(found, list) or any(type(token) is not int for token in found):
        raise UsageError(f"{name} holds something other than whole numbers")
    if not found:
        raise UsageError(f"{name} holds no token id")
    return found


def _read(file: str) -> str:
    name = "standard input" if file == "-" else repr(Path(file).name)
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from error
