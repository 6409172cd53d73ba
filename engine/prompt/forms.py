"""The forms of a conversation that mean the same, of which a chat template often takes only one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from attentropy.engine.prompt.messages import Conversation, Message


def forms_of(conversation: Conversation) -> Iterator[Conversation]:
    """Yield the messages as they are, and in other forms that mean the same.

    A content that is null may be absent or empty, contents may be one text or parts, and the
    arguments of a call a text of JSON or its mapping.
    """
    yielded: list[list[Message]] = []
    kinds: tuple[Callable[[Any], Any], ...] = (lambda c: c, _as_text, _as_parts)
    for parse in (False, True):
        for kind in kinds:
            for null in ("keep", "absent", "empty"):
                messages = [_form(m, kind, null, parse) for m in conversation.messages]
                if messages not in yielded:
                    yielded.append(messages)
                    yield Conversation(messages, conversation.arguments)


def _form(message: Message, kind: Callable[[Any], Any], null: str, parse: bool) -> Message:
    other = dict(message)
    if null != "keep":
        other = {key: value for key, value in other.items() if value is not None}
    if null == "empty":
        other.setdefault("content", "")
    if other.get("content") is not None:
        other["content"] = kind(other["content"])
    calls = other.get("tool_calls")
    if parse and isinstance(calls, list):
        other["tool_calls"] = [_parsed(call) for call in calls]
    return other


def _parsed(call: Any) -> Any:
    """Return a tool call whose arguments are a mapping, where they were its JSON."""
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (TypeError, KeyError, ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict):
        return call
    return call | {"function": call["function"] | {"arguments": arguments}}


def _as_text(content: Any) -> Any:
    if isinstance(content, list) and all("text" in part for part in content):
        return "".join(part["text"] for part in content)
    return content


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
