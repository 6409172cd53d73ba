"""Chat messages as transformers takes them: checked, and the texts inside them by their path."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.ids import KINDS
from attentropy.engine.prompt.reasoning import KEYS

Message: TypeAlias = dict[str, Any]
# What a caller may give, before it is checked.
Messages: TypeAlias = Sequence[Mapping[str, Any]]
# Keys and indices that lead from a conversation to a value inside it.
KeyPath: TypeAlias = tuple[Any, ...]
# Other values at some paths; a path that ends with `NAME` stands for the name of an argument.
Changes: TypeAlias = Mapping[KeyPath, Any]

NAME = "\0name"
_FORM = 'each message needs a "role" and a "content", both of them text'


@dataclass(frozen=True)
class Conversation:
    """Messages, and what a chat template gets besides them."""

    messages: list[Message]
    arguments: dict[str, Any]

    def with_changes(self, changes: Changes) -> Conversation:
        """Return a copy with other values at some paths."""
        arguments = {key: _rewritten(value, changes, (key,)) for key, value in
                     self.arguments.items()}  # fmt: skip
        return Conversation(_rewritten(self.messages, changes, ("messages",)), arguments)

    def leaves(self) -> Iterator[tuple[KeyPath, Any]]:
        """Yield path and value of all words: of the messages, tools and documents.

        Roles and types are none, and neither is a text of blanks. In the arguments of a call,
        names and numbers are words as well.
        """
        yield from _leaves(self.messages, ("messages",), in_call=False)
        for key in ("tools", "documents"):
            yield from _leaves(self.arguments.get(key), (key,), in_call=False)

    def sources(self, path: KeyPath) -> tuple[int, str]:
        """Return the number of the message that `path` leads to (-1 for none), and the segment."""
        return (path[1], "") if path[0] == "messages" else (-1, str(path[0]))


def check_messages(messages: Any) -> list[Message]:
    """Return a copy of `messages`. Raises `UsageError` for anything but text messages."""
    if not isinstance(messages, Sequence) or not all(isinstance(m, Mapping) for m in messages):
        raise UsageError(f"a prompt must be {KINDS}")
    return [_check_message(message) for message in messages]


def _leaves(value: Any, path: KeyPath, *, in_call: bool) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, str):
        if value.strip():
            yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, (*path, i), in_call=in_call)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if in_call and isinstance(key, str) and key.strip():
                yield (*path, key, NAME), key
            if in_call or key not in ("role", "type"):
                inside = in_call or (key == "arguments" and path[0] == "messages")
                yield from _leaves(item, (*path, key), in_call=inside)
    elif in_call:
        yield path, value


def _rewritten(value: Any, changes: Changes, path: KeyPath) -> Any:
    if path in changes:
        return changes[path]
    if isinstance(value, list):
        return [_rewritten(item, changes, (*path, i)) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            changes.get((*path, key, NAME), key): _rewritten(item, changes, (*path, key))
            for key, item in value.items()
        }
    return value


def _check_message(message: Mapping[str, Any]) -> Message:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not any(
                isinstance(part.get(key), str) for key in ("text", "thinking")
            ):
                raise UsageError('only text is supported: each part of a message needs "text"')
    elif not isinstance(content, str):
        others = (message.get(key) for key in ("tool_calls", *KEYS))
        if content is not None or not any(others):
            raise UsageError(_FORM)
    if not isinstance(message.get("role"), str):
        raise UsageError(_FORM)
    return copy.deepcopy(dict(message))
