"""A prompt, raw or a chat, to token ids with a role and a place in the text for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from attentropy.engine.errors import UsageError
from attentropy.engine.tokens import token_spans, vocabulary_text

Messages = Sequence[Mapping[str, str]]

# A chat template may multiply strings; what it renders is bounded by the prompt's own length.
_TEMPLATE_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Prompt:
    """Token ids of one sequence, [N] each; `spans` are UTF-8 byte offsets into `text`."""

    text: str
    ids: list[int]
    tokens: list[str]
    roles: list[str]
    spans: list[tuple[int, int]]
    chat: bool

    @property
    def sha256(self) -> str:
        """Hash of the text that was tokenised."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


def prepare(
    tokenizer: Any,
    prompt: str | Messages,
    *,
    chat_template: bool = True,
    system: str | None = None,
) -> Prompt:
    """Tokenise `prompt`: a string becomes the user's turn where the tokenizer has a chat template.

    Raises `UsageError` for an empty prompt, messages without a template, or a template that fails.
    """
    messages = _messages(prompt, system)
    if chat_template and tokenizer.chat_template:
        text, content = _render(tokenizer, messages)
        return _tokenize(tokenizer, text, content, chat=True)
    if system is not None or not isinstance(prompt, str):
        raise UsageError(
            "chat messages and --system need a chat template, and this tokenizer has none in use; "
            "give one text with -p or -f instead"
        )
    return _tokenize(tokenizer, prompt, [(0, len(prompt))], chat=False)


def _messages(prompt: str | Messages, system: str | None) -> list[dict[str, str]]:
    if isinstance(prompt, str):
        messages = [{"role": "user", "content": prompt}]
    else:
        messages = [dict(message) for message in prompt]
    for message in messages:
        if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            raise UsageError('each message needs text under "role" and "content"')
    if not any(message["content"].strip() for message in messages):
        raise UsageError("the prompt is empty; give some text with -p, -f or -m")
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    """The chat as text, and the character spans (start, stop) that the messages' content takes.

    The template is rendered a second time with a marker for each content; what lies between the
    markers is the template's own, whatever words the contents hold.
    """
    text = _apply(tokenizer, messages)
    markers = [f"\ue000{i}\ue001" for i in range(len(messages))]
    marked = _apply(
        tokenizer,
        [{**message, "content": mark} for message, mark in zip(messages, markers, strict=True)],
    )
    spans = []
    at = 0
    for message, mark in zip(messages, markers, strict=True):
        before, found, marked = marked.partition(mark)
        content = next(
            (
                c
                for c in (message["content"], message["content"].strip())
                if _at(text, before, c, at)
            ),
            None,
        )
        if not found or content is None:
            continue  # the template drops or rewrites this turn: its tokens count as template
        start = at + len(before)
        spans.append((start, start + len(content)))
        at = start + len(content)
    return text, spans


def _at(text: str, before: str, content: str, at: int) -> bool:
    return text.startswith(before + content, at)


def _apply(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    # A conversation that ends with the assistant is continued, not answered anew.
    ends = messages[-1]["role"] == "assistant"
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not ends, continue_final_message=ends
        )
    except (jinja2.TemplateError, ValueError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UsageError(
            f"the model's chat template refuses these messages ({reason}); try --no-chat-template"
        ) from error
    limit = _TEMPLATE_CHARACTERS + 2 * sum(len(message["content"]) for message in messages)
    if len(text) > limit:
        raise UsageError(f"the chat template renders {len(text)} characters, refused")
    return str(text)


def _tokenize(tokenizer: Any, text: str, content: list[tuple[int, int]], *, chat: bool) -> Prompt:
    """`content`: character spans of the users' and assistants' words, in order."""
    if not text.strip():
        raise UsageError("the prompt is empty; give some text with -p, -f or -m")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("the prompt holds half of a surrogate pair, not text") from error
    # The template writes the special tokens itself.
    encoded = tokenizer(
        text,
        add_special_tokens=not chat,
        return_offsets_mapping=tokenizer.is_fast,
        return_special_tokens_mask=True,
        verbose=False,
    )
    ids = [int(i) for i in encoded["input_ids"]]
    if not ids:
        raise UsageError("the tokenizer makes no token of this prompt")
    if tokenizer.is_fast:
        offsets = [(int(a), int(b)) for a, b in encoded["offset_mapping"]]
        pieces = token_spans(text, offsets)
    else:  # without offsets a token is known by its own text only
        offsets = [(0, 0)] * len(ids)
        pieces = [(piece, 0, 0) for piece in vocabulary_text(tokenizer, ids)]
    added = [bool(flag) for flag in encoded["special_tokens_mask"]]
    names = vocabulary_text(tokenizer, ids)
    tokens, roles = [], []
    for i, token_id in enumerate(ids):
        piece = pieces[i][0]
        is_added = added[i] and offsets[i][0] == offsets[i][1]
        tokens.append(names[i] if is_added else piece)
        inside = _overlaps(offsets[i], content) if tokenizer.is_fast else not added[i]
        roles.append(_role(tokenizer, token_id, i, inside=inside, chat=chat))
    return Prompt(text, ids, tokens, roles, [(a, b) for _, a, b in pieces], chat)


def _overlaps(span: tuple[int, int], content: list[tuple[int, int]]) -> bool:
    return any(span[0] < stop and start < span[1] for start, stop in content)


def _role(tokenizer: Any, token_id: int, index: int, *, inside: bool, chat: bool) -> str:
    if index == 0 and token_id == tokenizer.bos_token_id:
        return "bos"
    if inside:
        return "content"
    if not chat and token_id == tokenizer.eos_token_id:
        return "eos"
    return "template"
