"""A chat as the model's own template writes it, and which of that text are the messages' words.

A template is a stranger's program: it runs in a bounded child process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from attentropy.engine.errors import UsageError
from attentropy.engine.model.sandbox import WorkFailed, run_bounded
from attentropy.engine.prompt.marks import WordFinder, free_marks
from attentropy.engine.prompt.messages import Message, leaves
from attentropy.engine.prompt.tokens import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a template may add to the words of the messages, and what it may need for that.
_CHARACTERS = 1_000_000
_SECONDS = 3
_MEBIBYTES = 256

# What a template raises for messages that it does not accept: its own errors, those of the Python
# expressions in it, and our own for a text that is too long.
_TEMPLATE_ERRORS = (
    TemplateError, UsageError, ArithmeticError, AssertionError, AttributeError, ImportError,
    LookupError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@dataclass
class Chat:
    """The rendered text, the sorted character spans of the messages' words, and notes."""

    text: str
    content: list[Span]
    notes: list[str] = field(default_factory=list)


def render_chat(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> Chat:
    """Render checked messages with the tokenizer's chat template, for an answer to follow.

    A conversation that ends with the assistant's words is continued, not answered again. Raises
    `UsageError` for a template that fails, that writes a million characters more than the messages
    have, or that takes more than 3 s or 256 MiB (and more for a long prompt).
    """
    size = sum(len(value) for _, value in leaves(messages) if isinstance(value, str))

    def work() -> list[Any]:
        chat = _best_form(tokenizer, messages, _CHARACTERS + 2 * size)
        return [chat.text, chat.content, chat.notes]

    try:
        text, content, notes = run_bounded(
            work, seconds=_SECONDS + size // 100_000, mebibytes=_MEBIBYTES + size // 10_000
        )
    except WorkFailed as error:
        raise UsageError(_refusal(error)) from error
    return Chat(text, [(start, stop) for start, stop in content], notes)


def _refusal(error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return f"the model's chat template rejects these messages ({reason}); try `chat_template=False`"


def _best_form(tokenizer: PreTrainedTokenizerBase, messages: list[Message], limit: int) -> Chat:
    """Return the first form of the messages in which no content is lost, else the first at all.

    Text and a list of text parts mean the same, and templates often accept only one of them.
    """
    first: Chat | None = None
    failure: Exception | None = None
    for form in _forms(messages):
        try:
            text = _apply_template(tokenizer, form, limit)
        except _TEMPLATE_ERRORS as error:
            failure = failure or error
            continue
        if any(_is_printed(message.get("content"), text) for message in form):
            continue
        chat, is_lost = _locate_words(tokenizer, form, text, limit)
        if not is_lost:
            return chat
        first = first or chat
    if first is None:
        raise UsageError(_refusal(failure or ValueError("it does not accept them")))
    return first


def _forms(messages: list[Message]) -> Iterator[list[Message]]:
    """Yield the messages as they are, with contents as one text, and with contents as parts."""
    yield messages
    forms = (
        lambda c: "".join(part["text"] for part in c) if isinstance(c, list) else c,
        lambda c: [{"type": "text", "text": c}] if isinstance(c, str) else c,
    )
    for form in forms:
        other = [m | {"content": form(m["content"])} if "content" in m else m for m in messages]
        if other != messages:
            yield other


def _is_printed(content: Any, text: str) -> bool:
    """Return whether the template wrote a list itself where it should have written its parts."""
    return isinstance(content, list) and str(content) in text


def _apply_template(tokenizer: PreTrainedTokenizerBase, messages: list[Message], limit: int) -> str:
    """Return the rendered text. Raises `UsageError` where it has more than `limit` characters."""
    last = messages[-1]
    is_answer = last["role"] == "assistant"
    is_open = is_answer and bool(last.get("content")) and not last.get("tool_calls")
    text = str(
        tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=not is_answer,
            continue_final_message=is_open,
        )
    )
    if len(text) > limit:
        raise UsageError(
            f"the chat template expands to {len(text):,} characters, which is too much; shorten "
            "the messages"
        )
    return text


def _locate_words(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], text: str, limit: int
) -> tuple[Chat, bool]:
    """Return where the words of `messages` are in `text`, and whether a content is missing."""

    def render_again(changed: list[Message]) -> str | None:
        try:
            return _apply_template(tokenizer, changed, limit)
        except _TEMPLATE_ERRORS:
            return None

    finder = WordFinder(render_again, text, messages, free_marks(text, str(messages)))
    remaining = list(leaves(messages))
    chat = Chat(text, [])
    if spans := finder.find_all([leaf for leaf in remaining if isinstance(leaf[1], str)]):
        chat.content = spans
        remaining = [leaf for leaf in remaining if not isinstance(leaf[1], str)]
    is_lost = False
    for path, _ in remaining:
        spans, doubt = finder.find(path)
        chat.content += spans
        who = f"message {path[0] + 1} ({messages[path[0]]['role'][:20]})"
        if not spans and path[1] == "content":
            is_lost = True
            chat.notes.append(f"the chat template leaves out the content of {who}")
        elif doubt:
            chat.notes.append(f"the chat template rewrites {path[1]!r} of {who}; {doubt}")
    chat.content = _merge(chat.content)
    return chat, is_lost


def _merge(spans: list[Span]) -> list[Span]:
    """Return the spans in order, those that overlap merged."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
