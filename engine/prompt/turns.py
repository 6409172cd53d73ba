"""The conversation that a caller asks for: messages, or a document and a question, and the rest."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.ids import read_ids
from attentropy.engine.prompt.messages import Conversation, check_messages
from attentropy.engine.trace.segments import DOCUMENT, QUESTION

# What `apply_chat_template` of transformers decides itself, or what this module sets.
_RESERVED = frozenset((
    "self", "conversation", "conversations", "messages", "chat_template", "tokenize",
    "add_generation_prompt", "continue_final_message", "sanitize_control_tokens", "padding",
    "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
    "tokenizer_kwargs",
))  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A named part of a text, in characters."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Turns:
    """What a prompt says: its conversation, its plain text (None for messages) and its segments."""

    conversation: Conversation
    text: str | None
    segments: tuple[Segment, ...]

    @property
    def needs_template(self) -> bool:
        """Whether only a chat template can write it."""
        return self.text is None or len(self.conversation.messages) > 1


def read_turns(
    prompt: Any,
    *,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
) -> Turns:
    """Return what a prompt says. Raises `UsageError` for what does not fit together."""
    if isinstance(prompt, Mapping) and "messages" in prompt:
        if tools is not None and prompt.get("tools") is not None:
            raise UsageError("the prompt has tools already; leave `tools` out")
        tools = prompt.get("tools") if tools is None else tools
        prompt = prompt["messages"]
    segments: tuple[Segment, ...] = ()
    text = prompt if isinstance(prompt, str) else None
    if question is not None:
        if text is None:
            raise UsageError("`question` needs a text as the prompt, not messages; leave it out")
        text, segments = _ask(text, question)
    messages = check_messages([{"role": "user", "content": text}] if text is not None else prompt)
    if not messages:
        raise UsageError("the prompt is empty; give some text with `prompt`")
    if system is not None:
        if messages[0]["role"] == "system":
            raise UsageError("the messages already have a system turn; leave `system` out")
        messages.insert(0, {"role": "system", "content": system})
    return Turns(Conversation(messages, _arguments(tools, template_args)), text, segments)


def message_roles(prompt: Any, **arguments: Any) -> list[str]:
    """Return the role of each message of a prompt; arguments: as `read_turns` takes them."""
    if read_ids(prompt) is not None:
        return []
    messages = read_turns(prompt, **arguments).conversation.messages
    return [str(message["role"]) for message in messages]


def _ask(document: str, question: str) -> tuple[str, tuple[Segment, ...]]:
    """Return document, blank line and question as one text, and where the two are."""
    if not isinstance(question, str) or not question.strip():
        raise UsageError("the question is empty; give some text with `question`")
    document = document.rstrip("\r\n")
    start = len(document) + 2
    return f"{document}\n\n{question}", (
        Segment(DOCUMENT, 0, len(document)),
        Segment(QUESTION, start, start + len(question)),
    )


def _arguments(
    tools: Sequence[Any] | None, template_args: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the template gets besides the messages."""
    if template_args is not None and not (
        isinstance(template_args, Mapping) and all(isinstance(key, str) for key in template_args)
    ):
        raise UsageError("`template_args` must be a mapping of names to values")
    arguments = copy.deepcopy(dict(template_args or {}))
    if reserved := sorted(_RESERVED & arguments.keys()):
        raise UsageError(f"`template_args` cannot set {reserved[0]!r}; leave it out")
    if tools is not None:
        if "tools" in arguments:
            raise UsageError("`template_args` has tools already; leave `tools` out")
        arguments["tools"] = tools
    for name in ("tools", "documents"):
        if arguments.get(name) is None:
            arguments.pop(name, None)
            continue
        entries = arguments[name]
        is_list = isinstance(entries, Sequence) and not isinstance(entries, str)
        if not is_list or not all(
            isinstance(entry, Mapping) or callable(entry) for entry in entries
        ):
            raise UsageError(f"{name} must be a list of mappings, as transformers takes them")
        arguments[name] = [_described(entry) for entry in entries]
    return arguments


def _described(entry: Any) -> dict[str, Any]:
    """Return a copy of a tool or document; the schema of a Python function."""
    if isinstance(entry, Mapping):
        return copy.deepcopy(dict(entry))
    from transformers.utils import get_json_schema

    try:
        return dict(get_json_schema(entry))
    except Exception as error:  # of parsing annotations and docstrings, of several kinds
        raise UsageError(
            f"`tools`: {entry!r:.60} has no schema ({str(error).splitlines()[0][:120]})"
        ) from error
