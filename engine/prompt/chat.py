"""A chat as the model's own template writes it, and which of that text are the messages' words.

A template is a stranger's program: it runs in a bounded child process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import TemplateError

from attentropy.engine.errors import UsageError
from attentropy.engine.model.sandbox import WorkFailed, run_bounded
from attentropy.engine.prompt.dropped import dropped_notes, loses_content
from attentropy.engine.prompt.forms import forms_of
from attentropy.engine.prompt.marks import Word, WordFinder
from attentropy.engine.prompt.messages import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    _Renderer: TypeAlias = PreTrainedTokenizerBase | "_Template"

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
    """The rendered text, its words in order (none overlap another), and notes."""

    text: str
    words: list[Word]
    notes: list[str] = field(default_factory=list)


def render_chat(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *, advise: str = ""
) -> Chat:
    """Render a checked conversation with the tokenizer's chat template, for an answer to follow.

    A conversation that ends with the assistant's words is continued, not answered again. advise:
    what to try where the template rejects it. Raises `UsageError` for a template that fails, that
    writes a million characters more than the messages have, or that takes more than 3 s or 256 MiB
    (and more for a long prompt).
    """
    size = sum(len(value) for _, value in conversation.leaves() if isinstance(value, str))
    limit = _CHARACTERS + 2 * size
    template = _template_of(tokenizer, conversation)
    try:
        text, words, notes = run_bounded(
            *((_render, tokenizer, conversation, limit) if template is None else
              (_render_template, *template, conversation.messages, conversation.arguments, limit)),
            seconds=_SECONDS + size // 100_000, mebibytes=_MEBIBYTES + size // 10_000,
        )  # fmt: skip
    except WorkFailed as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UsageError(
            f"the model's chat template rejects these messages ({reason}){advise}"
        ) from error
    return Chat(text, [Word(**word | {"path": tuple(word["path"])}) for word in words], notes)


def render_texts(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]
) -> list[str]:
    """Return each conversation as the template writes it, for an answer to follow.

    All have the same arguments, and end with a user's turn, which stands in the text. Raises
    `UsageError` where the template has no form for one, within the bounds of `render_chat`.
    """
    template = _template_of(tokenizer, conversations[0])
    many, arguments = [one.messages for one in conversations], conversations[0].arguments
    try:
        texts = run_bounded(
            *((_render_texts, tokenizer, many, arguments) if template is None else
              (_render_template_texts, *template, many, arguments)),
            seconds=_SECONDS, mebibytes=_MEBIBYTES,
        )  # fmt: skip
    except WorkFailed as error:
        raise UsageError("the model's chat template rejects these messages") from error
    return [str(text) for text in texts]


def _render_template_texts(
    text: str, special: dict[str, Any], many: list[list[Message]], arguments: dict[str, Any]
) -> list[str]:
    return _render_texts(_Template(text, special), many, arguments)


def _render_texts(
    tokenizer: _Renderer, many: list[list[Message]], arguments: dict[str, Any]
) -> list[str]:
    return [_first_form(tokenizer, Conversation(messages, arguments)) for messages in many]


def _first_form(tokenizer: _Renderer, conversation: Conversation) -> str:
    """Return the text of the first form of the messages that shows the last one's words."""
    for form in forms_of(conversation):
        try:
            text = _apply_template(tokenizer, form, _CHARACTERS, continues=False)
        except _TEMPLATE_ERRORS:
            continue
        content = form.messages[-1]["content"]
        if conversation.messages[-1]["content"] in text and not _is_printed(content, text):
            return text
    raise WorkFailed("no form of the messages is written")


class _Template:
    """A chat template and the special tokens that it may name: what a rendering needs."""

    def __init__(self, text: str, special: dict[str, Any]) -> None:
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        empty = Tokenizer(models.BPE())
        self._tokenizer = PreTrainedTokenizerFast(tokenizer_object=empty, chat_template=text)
        self._special = special

    def apply_chat_template(self, messages: list[Message], **arguments: Any) -> Any:
        """Render messages as the tokenizer does whose template this is."""
        return self._tokenizer.apply_chat_template(messages, **{**self._special, **arguments})


def _template_of(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation
) -> tuple[str, dict[str, Any]] | None:
    """Return what makes a `_Template`; None for a tokenizer that renders in a way of its own."""
    from transformers import PreTrainedTokenizerBase

    if type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        return None
    try:
        text = tokenizer.get_chat_template(tools=conversation.arguments.get("tools"))
    except ValueError:  # of several templates none is for this; it says so as it renders
        return None
    return text, dict(tokenizer.special_tokens_map)


def _render_template(
    text: str, special: dict[str, Any], messages: list[Message], arguments: dict[str, Any],
    limit: int,
) -> list[Any]:  # fmt: skip
    return _render(_Template(text, special), Conversation(messages, arguments), limit)


def _render(tokenizer: _Renderer, conversation: Conversation, limit: int) -> list[Any]:
    chat = _best_form(tokenizer, conversation, limit)
    return [chat.text, [asdict(word) for word in chat.words], chat.notes]


def _best_form(tokenizer: _Renderer, conversation: Conversation, limit: int) -> Chat:
    """Return the first form of the messages in which no content is lost, else the first at all.

    Text and a list of text parts mean the same, and templates often accept only one of them.
    """
    first: Chat | None = None
    failure: Exception | None = None
    for form in forms_of(conversation):
        try:
            text, continues = _render_first(tokenizer, form, limit)
        except _TEMPLATE_ERRORS as error:
            failure = failure or error
            continue
        if any(_is_printed(message.get("content"), text) for message in form.messages):
            continue
        chat, is_lost = _locate_words(tokenizer, form, text, limit, continues)
        if not is_lost:
            return chat
        first = first or chat
    if first is None:
        raise WorkFailed(str(failure or "it does not accept them"))
    return first


def _is_printed(content: Any, text: str) -> bool:
    """Return whether the template wrote a list itself where it should have written its parts."""
    return isinstance(content, list) and bool(content) and str(content) in text


def _render_first(tokenizer: _Renderer, conversation: Conversation, limit: int) -> tuple[str, bool]:
    """Return the rendered text, and whether it ends with words that are to be continued."""
    if _ends_open(conversation):
        try:
            return _apply_template(tokenizer, conversation, limit, continues=True), True
        except ValueError:  # the template changes them: they end as it ends them
            pass
    return _apply_template(tokenizer, conversation, limit, continues=False), False


def _ends_open(conversation: Conversation) -> bool:
    """Return whether the last words are the assistant's, which are continued."""
    last = conversation.messages[-1]
    has_words = last["role"] == "assistant" and bool(last.get("content"))
    return has_words and not last.get("tool_calls")


def _apply_template(
    tokenizer: _Renderer, conversation: Conversation, limit: int, *, continues: bool
) -> str:
    """Return the rendered text. Raises `UsageError` where it has more than `limit` characters."""
    is_answer = conversation.messages[-1]["role"] == "assistant"
    text = str(
        tokenizer.apply_chat_template(
            conversation.messages,
            tokenize=False,
            add_generation_prompt=not is_answer,
            continue_final_message=continues,
            **conversation.arguments,
        )
    )
    if len(text) > limit:
        raise UsageError(
            f"the chat template expands to {len(text):,} characters, which is too much; shorten "
            "the messages"
        )
    return text


def _locate_words(
    tokenizer: _Renderer, conversation: Conversation, text: str, limit: int,
    continues: bool,
) -> tuple[Chat, bool]:  # fmt: skip
    """Return where the conversation's words are in `text`, and whether a content is missing."""

    def render_again(changed: Conversation) -> str | None:
        try:
            return _apply_template(tokenizer, changed, limit, continues=continues)
        except _TEMPLATE_ERRORS:
            return None

    findings = WordFinder(render_again, text, conversation).find(list(conversation.leaves()))
    words = [word for finding in findings.values() for word in finding.words]
    notes = dropped_notes(conversation, findings)
    if _ends_open(conversation) and not continues:
        notes.append("the chat template ends the last message, which is not continued")
    return Chat(text, _disjoint(words), notes), loses_content(conversation, findings)


def _disjoint(words: list[Word]) -> list[Word]:
    """Return the words in order; of those that overlap, the longer one of the first has its way."""
    disjoint: list[Word] = []
    for word in sorted(words, key=lambda word: (word.start, -word.stop)):
        reached = disjoint[-1].stop if disjoint else 0
        if word.start >= reached:
            disjoint.append(word)
        elif word.stop > reached:
            disjoint.append(Word(reached, word.stop, word.path, word.role, None))
    return [word for word in disjoint if word.start < word.stop]
