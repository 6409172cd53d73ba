"""A chat as the model's own template writes it, and which of that text are the messages' words.

A template is a stranger's program: it runs in a bounded child process. It is rendered again with
marks around the words; what lies between the marks is content, and everything else the template's
own, provided that the marks change nothing else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.model.sandbox import WorkFailed, bounded

Messages = Sequence[Mapping[str, Any]]
Span = tuple[int, int]
Path = tuple[Any, ...]
Render = Callable[[list[dict[str, Any]]], str | None]

# What a template may add to the words it is given, and what it may take for that.
_CHARACTERS = 1_000_000
_SECONDS = 3
_MEBIBYTES = 256

_TAG = re.compile(r"(<[^<>]*>)")


@dataclass
class Chat:
    """The rendered text, the sorted character spans of the messages' words, and what to know."""

    text: str
    content: list[Span]
    notes: list[str] = field(default_factory=list)


def checked(messages: Any) -> list[dict[str, Any]]:
    """`messages` as a list of their own, or `UsageError` for what is none."""
    if not isinstance(messages, Sequence) or not all(isinstance(m, Mapping) for m in messages):
        raise UsageError("a prompt is a text, a list of chat messages or a list of token ids")
    return [_checked(message) for message in messages]


def has_words(messages: Messages) -> bool:
    """Whether any message brings more than blanks."""
    return next(_leaves(messages), None) is not None


def render(tokenizer: Any, messages: list[dict[str, Any]]) -> Chat:
    """`messages` (see `checked`) through the tokenizer's chat template, for an answer to follow.

    A conversation that ends with the assistant's words is continued, not answered anew. Raises
    `UsageError` for a template that fails, that writes a million characters more than it is
    given, or that takes more than 3 s or 256 MiB (and more for a long prompt).
    """
    size = sum(len(value) for _, value in _leaves(messages) if isinstance(value, str))

    def work() -> list[Any]:
        chat = _best_form(tokenizer, messages, _CHARACTERS + 2 * size)
        return [chat.text, chat.content, chat.notes]

    try:
        text, content, notes = bounded(
            work, seconds=_SECONDS + size // 100_000, mebibytes=_MEBIBYTES + size // 10_000
        )
    except WorkFailed as error:
        raise UsageError(_refusal(error)) from error
    return Chat(text, [(a, b) for a, b in content], notes)


def _refusal(error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return f"the model's chat template refuses these messages ({reason}); try --no-chat-template"


def _checked(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                raise UsageError('only text can be read: each part of a content needs "text"')
    elif not isinstance(content, str) and not (content is None and message.get("tool_calls")):
        raise UsageError('each message needs text under "role" and "content"')
    if not isinstance(message.get("role"), str):
        raise UsageError('each message needs text under "role" and "content"')
    return copy.deepcopy({key: value for key, value in message.items() if value is not None})


def _best_form(tokenizer: Any, given: list[dict[str, Any]], limit: int) -> Chat:
    """Text and a list of text parts say the same; templates often take only one of them.

    The first form in which no content is lost, else the first that renders at all.
    """
    first: Chat | None = None
    failure: Exception | None = None
    for messages in _forms(given):
        try:
            text = _apply(tokenizer, messages, limit)
        except MemoryError:
            raise
        except Exception as error:
            failure = failure or error
            continue
        if any(_printed(message.get("content"), text) for message in messages):
            continue
        chat, lost = _located(tokenizer, messages, text, limit)
        if not lost:
            return chat
        first = first or chat
    if first is None:
        raise UsageError(_refusal(failure or ValueError("it does not take them")))
    return first


def _forms(given: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    yield given
    forms = (
        lambda c: "".join(part["text"] for part in c) if isinstance(c, list) else c,
        lambda c: [{"type": "text", "text": c}] if isinstance(c, str) else c,
    )
    for form in forms:
        other = [m | {"content": form(m["content"])} if "content" in m else m for m in given]
        if other != given:
            yield other


def _printed(content: Any, text: str) -> bool:
    """The template wrote the list itself where it should have written its parts."""
    return isinstance(content, list) and str(content) in text


def _apply(tokenizer: Any, messages: list[dict[str, Any]], limit: int) -> str:
    last = messages[-1]
    ends = last["role"] == "assistant"
    goes_on = ends and bool(last.get("content")) and not last.get("tool_calls")
    text = str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not ends, continue_final_message=goes_on
        )
    )
    if len(text) > limit:
        raise UsageError(f"the chat template renders {len(text)} characters, refused")
    return text


def _located(
    tokenizer: Any, messages: list[dict[str, Any]], text: str, limit: int
) -> tuple[Chat, bool]:
    """Where the words of `messages` are in `text`, and whether a content is missing there."""

    def again(changed: list[dict[str, Any]]) -> str | None:
        try:
            return _apply(tokenizer, changed, limit)
        except MemoryError:
            raise
        except Exception:
            return None

    finder = _Finder(again, text, messages, _marks(text, str(messages)))
    leaves = list(_leaves(messages))
    chat = Chat(text, [])
    if spans := finder.together([leaf for leaf in leaves if isinstance(leaf[1], str)]):
        chat.content = spans
        leaves = [leaf for leaf in leaves if not isinstance(leaf[1], str)]
    lost = False
    for path, _ in leaves:
        found, doubt = finder.one(path)
        chat.content += found
        who = f"message {path[0] + 1} ({messages[path[0]]['role'][:20]})"
        if not found and path[1] == "content":
            lost = True
            chat.notes.append(f"the chat template leaves out the content of {who}")
        elif doubt:
            chat.notes.append(f"the chat template rewrites {path[1]!r} of {who}: {doubt}")
    chat.content = _merged(chat.content)
    return chat, lost


def _marks(*texts: str) -> tuple[str, str]:
    """Two characters that occur nowhere here and that no filter escapes, folds or strips."""
    rare = (chr(code) for code in count(0x2A000))
    found = (mark for mark in rare if not any(mark in text for text in texts))
    return next(found), next(found)


@dataclass
class _Finder:
    """Renders with changes, against the plain rendering `text`."""

    render: Render
    text: str
    messages: list[dict[str, Any]]
    marks: tuple[str, str]

    def together(self, leaves: list[tuple[Path, str]]) -> list[Span] | None:
        """All texts in one rendering; None where some content is not there as it was given."""
        for strip in (False, True):
            words = [(path, value.strip() if strip else value) for path, value in leaves]
            if strip and self.render(_with(self.messages, words)) != self.text:
                return None
            spans = self._spans([(path, self._mark(value)) for path, value in words])
            inside = {self.text[a:b] for a, b in spans or []}
            known = {value for _, value in words}
            needed = {value for path, value in words if path[1] == "content"}
            if needed <= inside <= known:
                return spans
        return None

    def one(self, path: Path) -> tuple[list[Span], str]:
        """One message's words alone, and what is doubtful about them ("" for nothing)."""
        value = _at(self.messages, path)
        if not isinstance(value, str):
            return self._differing(path, {self.marks[0]: self.marks[1]}), ""
        for side in (str.lstrip, str.rstrip):  # blanks that the template trims are not there
            if self.render(_with(self.messages, [(path, side(value))])) == self.text:
                value = side(value)
        whole = self._spans([(path, self._mark(value))])
        if whole is not None and all(self.text[a:b] == value for a, b in whole):
            return whole, ""
        pieces = self._spans([(path, self._mark_between_tags(value))])
        if pieces and all(self.text[a:b] in value for a, b in pieces):
            return self._joined(pieces, value), ""
        if whole is not None:
            return whole, "its tokens are what became of it"
        rest = self._differing(path, self.marks[0] * len(value))
        if all(self.text[a:b] == value for a, b in rest):
            return rest, ""
        return rest, "all that depends on it counts as content, template words between too"

    def _mark(self, words: str) -> str:
        return f"{self.marks[0]}{words}{self.marks[1]}"

    def _mark_between_tags(self, value: str) -> str:
        """A template may cut at a tag, as many do after a reasoning block."""
        parts = _TAG.split(value)
        for i, part in enumerate(parts):
            if core := part.strip():
                parts[i] = part if i % 2 else part.replace(core, self._mark(core), 1)
        return "".join(parts)

    def _joined(self, pieces: list[Span], value: str) -> list[Span]:
        """Neighbours with what is between them, where the message itself has it so."""
        joined = [pieces[0]]
        for start, stop in pieces[1:]:
            if self.text[joined[-1][0] : stop] in value:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        return joined

    def _spans(self, changes: list[tuple[Path, Any]]) -> list[Span] | None:
        """What lies between pairs of marks, if they change nothing and come in pairs."""
        start, stop = self.marks
        marked = self.render(_with(self.messages, changes))
        if marked is None or re.sub(f"[{start}{stop}]", "", marked) != self.text:
            return None
        places = list(re.finditer(f"[{start}{stop}]", marked))
        if "".join(place.group() for place in places) != (start + stop) * (len(places) // 2):
            return None
        at = [place.start() - i for i, place in enumerate(places)]
        return list(zip(at[::2], at[1::2], strict=True))

    def _differing(self, path: Path, other: Any) -> list[Span]:
        """From the first to the last character that changes with what is at `path`."""
        text, changed = self.text, self.render(_with(self.messages, [(path, other)]))
        if changed is None:
            return [(0, len(text))]
        if changed == text:
            return []
        most = min(len(text), len(changed))
        start = next((i for i in range(most) if text[i] != changed[i]), most)
        stop = next(
            (i for i in range(most - start) if text[-1 - i] != changed[-1 - i]), most - start
        )
        return [(start, len(text) - stop)] if start + stop < len(text) else []


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every text that a message brings, and the arguments of a call as one; not its role."""
    if isinstance(value, str):
        if value.strip():
            yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, (*path, i))
    elif isinstance(value, Mapping):
        if path and path[-1] == "arguments":
            yield path, value
            return
        for key, item in value.items():
            if key not in ("role", "type"):
                yield from _leaves(item, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(messages: Any, changes: list[tuple[Path, Any]]) -> Any:
    """A copy that has each `(path, value)`; what is not on a path is shared."""
    for path, value in changes:
        messages = _set(messages, path, value)
    return messages


def _set(holder: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copied = holder.copy()
    copied[path[0]] = _set(holder[path[0]], path[1:], value)
    return copied


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
