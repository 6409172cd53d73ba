"""Chat messages as transformers takes them: checked, and the texts inside them by their path."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.ids import KINDS

Message: TypeAlias = dict[str, Any]
# What a caller may give, before it is checked.
Messages: TypeAlias = Sequence[Mapping[str, Any]]
# Keys and indices that lead from the list of messages to a value inside it.
KeyPath: TypeAlias = tuple[Any, ...]
Change: TypeAlias = tuple[KeyPath, Any]


def check_messages(messages: Any) -> list[Message]:
    """Return a copy of `messages`. Raises `UsageError` for anything but text messages."""
    if not isinstance(messages, Sequence) or not all(isinstance(m, Mapping) for m in messages):
        raise UsageError(f"a prompt must be {KINDS}")
    return [_check_message(message) for message in messages]


def has_words(messages: Messages) -> bool:
    """Return whether any message has a text that is more than blanks."""
    return next(leaves(messages), None) is not None


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield path and value of every text in the messages, except roles and types.

    The arguments of a tool call are one value.
    """
    if isinstance(value, str):
        if value.strip():
            yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    elif isinstance(value, Mapping):
        if path and path[-1] == "arguments":
            yield path, value
            return
        for key, item in value.items():
            if key not in ("role", "type"):
                yield from leaves(item, (*path, key))


def value_at(value: Any, path: KeyPath) -> Any:
    """Return the value to which `path` leads."""
    for key in path:
        value = value[key]
    return value


def with_changes(messages: list[Message], changes: Iterable[Change]) -> list[Message]:
    """Return a copy of the messages with other values at some paths.

    What is not on such a path is shared with the original.
    """
    for path, value in changes:
        messages = _replace(messages, path, value)
    return messages


def _replace(holder: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    copied = holder.copy()
    copied[path[0]] = _replace(holder[path[0]], path[1:], value)
    return copied


def _check_message(message: Mapping[str, Any]) -> Message:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                raise UsageError('only text is supported: each part of a message needs "text"')
    elif not isinstance(content, str) and not (content is None and message.get("tool_calls")):
        raise UsageError('each message needs a "role" and a "content", both of them text')
    if not isinstance(message.get("role"), str):
        raise UsageError('each message needs a "role" and a "content", both of them text')
    return copy.deepcopy({key: value for key, value in message.items() if value is not None})
