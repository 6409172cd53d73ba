"""Preparing a prompt: token ids from a text, a chat or ids, with a role and a span for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.chat import render_chat
from attentropy.engine.prompt.encode import encode, encode_chat, has_chat_format
from attentropy.engine.prompt.ids import read_ids
from attentropy.engine.prompt.messages import Conversation, Messages
from attentropy.engine.prompt.notes import bos_notes, control_notes, unread_arguments
from attentropy.engine.prompt.places import Place, place_text, place_tokens, place_words
from attentropy.engine.prompt.tokens import (
    Span,
    decoded_pieces,
    dummy_prefixes,
    token_spans,
    vocabulary_text,
)
from attentropy.engine.prompt.turns import Turns, read_turns
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.types import Array

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNKNOWN_TOKEN = "[?]"  # the text of a token whose id is unknown

PromptLike: TypeAlias = str | Messages | Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Any]
"""What a caller may give as the prompt, besides arrays and tensors of ids."""


@dataclass(frozen=True)
class Prompt:
    """The tokens of one sequence, [N] each; `spans` are UTF-8 byte offsets into `text`.

    messages: the number of the chat message whose words a token belongs to, -1 for none. segments:
    the name of its segment, "" for none. Both are empty lists where no token has one.
    """

    text: str
    ids: list[int]
    tokens: list[str]
    roles: list[str]
    spans: list[Span]
    chat: bool
    notes: list[str] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """The hash of the text that was tokenised, of the ids where there is no text."""
        text = self.text.encode("utf-8", "surrogatepass") or np.array(self.ids, "<i8").tobytes()
        return hashlib.sha256(text).hexdigest()

    def first(self, tokens: int) -> Prompt:
        """Return the first `tokens` tokens alone, and the text up to their end."""
        if tokens == len(self.ids):
            return self
        end = max((stop for _, stop in self.spans[:tokens]), default=0)
        text = self.text.encode("utf-8", "surrogatepass")[:end].decode("utf-8", "surrogatepass")
        return replace(
            self, text=text, ids=self.ids[:tokens], tokens=self.tokens[:tokens],
            roles=self.roles[:tokens], spans=self.spans[:tokens],
            messages=self.messages[:tokens], segments=self.segments[:tokens],
        )  # fmt: skip

    def coordinates(self) -> dict[str, tuple[str, Array]]:
        """Return ids, texts, roles and spans as a trace's coordinates along `position`.

        Messages and segments are among them where a token has one.
        """
        sources: dict[str, tuple[str, Array]] = {}
        if self.messages:
            sources["message"] = ("position", np.array(self.messages, np.int32))
        if self.segments:
            sources["segment"] = ("position", text_array(self.segments))
        return sources | {
            "position": ("position", np.arange(len(self.ids), dtype=np.int32)),
            "token_ids": ("position", np.array(self.ids, np.int32)),
            "token_text": ("position", text_array(self.tokens)),
            "role": ("position", text_array(self.roles)),
            "byte_start": ("position", np.array([a for a, _ in self.spans], np.int64)),
            "byte_end": ("position", np.array([b for _, b in self.spans], np.int64)),
        }


def prepare(
    tokenizer: PreTrainedTokenizerBase,
    prompt: PromptLike,
    *,
    chat_template: bool = True,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
    vocabulary: int | None = None,
) -> Prompt:
    """Tokenise a text, chat messages as transformers takes them, or ids (see `ids.read_ids`).

    A text becomes the user's turn where the tokenizer has a chat template; with a `question`, the
    text is the document that it is about. tools and template_args are for the template, which
    renders them as transformers does. vocabulary: the number of ids that the model has, the
    tokenizer's own number for None. Raises `UsageError` for an empty prompt, messages without a
    template, a template that fails (see `render_chat`), and ids that the model does not have.
    """
    ids = read_ids(prompt)
    vocabulary = len(tokenizer) if vocabulary is None else vocabulary
    if ids is not None:
        others = {"system": system, "question": question, "tools": tools,
                 "template_args": template_args}  # fmt: skip
        for name in (name for name, value in others.items() if value is not None):
            raise UsageError(f"token ids are used as they are; leave `{name}` out")
        _check_ids(ids, vocabulary)  # before the tokenizer sees them
        prepared = _from_ids(tokenizer, ids)
    else:
        turns = read_turns(
            prompt, system=system, question=question, tools=tools, template_args=template_args
        )
        prepared = _from_turns(tokenizer, turns, chat_template)
        _check_ids(prepared.ids, vocabulary)
    prepared.notes.extend(bos_notes(tokenizer, prepared.ids))
    return prepared


def _check_ids(ids: list[int], vocabulary: int) -> None:
    for i, token in enumerate(ids):
        if not 0 <= token < vocabulary:
            raise UsageError(
                f"token id {token} at position {i} is out of range (vocabulary size {vocabulary})"
            )


def without_texts(ids: list[int]) -> Prompt:
    """Return a prompt whose tokens are named by their ids."""
    names = [f"[{token}]" if token >= 0 else UNKNOWN_TOKEN for token in ids]
    spans = [(0, 0)] * len(ids)
    return Prompt("", ids, names, ["content"] * len(ids), spans, False)


def name_tokens(tokenizer: PreTrainedTokenizerBase | None, ids: list[int]) -> Prompt:
    """Return the prompt of ids that a model was given.

    Negative ids stand for tokens that are unknown, such as embeddings. Without a tokenizer the ids
    are the names.
    """
    if tokenizer is None:
        return without_texts(ids)
    own_ids = [token for token in ids if token >= 0]
    prepared = _from_ids(tokenizer, own_ids)
    if len(own_ids) == len(ids):
        return prepared
    places = np.cumsum([token >= 0 for token in ids]) - 1
    at = [int(place) if token >= 0 else -1 for place, token in zip(places, ids, strict=True)]
    return Prompt(
        prepared.text,
        ids,
        [prepared.tokens[i] if i >= 0 else UNKNOWN_TOKEN for i in at],
        [prepared.roles[i] if i >= 0 else "content" for i in at],
        [prepared.spans[i] if i >= 0 else (0, 0) for i in at],
        chat=False,
    )


def _from_ids(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Prompt:
    pieces = decoded_pieces(tokenizer, ids)
    text = "".join(piece or "" for piece in pieces)
    places: list[Span] = []
    at = 0
    for piece in pieces:
        places.append(places[-1] if piece is None else (at, at + len(piece)))
        at = places[-1][1]
    special = set(tokenizer.all_special_ids)
    roles = ["template" if token in special else "content" for token in ids]
    if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id:
        roles[-1] = "eos"
    return prompt_of(tokenizer, text, ids, places, roles, chat=False)


def _from_turns(tokenizer: PreTrainedTokenizerBase, turns: Turns, chat_template: bool) -> Prompt:
    if not (chat_template and has_chat_format(tokenizer)):
        if turns.needs_template:
            raise UsageError(
                "this tokenizer has no chat template, which chat messages and `system` need; give "
                "plain text with `prompt`"
            )
        if turns.conversation.arguments:
            raise UsageError(
                "no chat template is used, which `tools` and `template_args` are for; leave them "
                "out"
            )
        text = turns.text or ""
        if not text.strip():
            raise UsageError("the prompt is empty; give some text with `prompt`")
        return _tokenize(tokenizer, text, place_text(text, turns.segments))
    advise = "" if turns.needs_template else "; try `chat_template=False`"
    chat = render_chat(tokenizer, turns.conversation, advise=advise)
    places = place_words(chat.words, turns.conversation, turns.segments)
    prepared = _tokenize(tokenizer, chat.text, places, turns.conversation)
    prepared.notes.extend(chat.notes)
    if turns.segments and not any(place.segment for place in places):
        prepared.notes.append("the chat template rewrites the prompt; its segments are unknown")
    unread = unread_arguments(tokenizer, turns.conversation)
    prepared.notes.extend(f"the chat template does not read {name!r}" for name in unread)
    return prepared


def _tokenize(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    words: list[Place],
    conversation: Conversation | None = None,
) -> Prompt:
    """Tokenise `text`; `words` are the places of words not the template's, in order.

    conversation: the one that `text` renders; None where it is not a chat.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not valid text (it has an unpaired surrogate)") from error
    encoded = (
        encode(tokenizer, text, special_tokens=True)
        if conversation is None
        else encode_chat(tokenizer, text, conversation.messages, **conversation.arguments)
    )
    ids, places, notes = encoded.ids, encoded.places, encoded.notes
    if not ids:
        raise UsageError("the tokenizer gives no tokens for this prompt")
    sources = place_tokens(places, words)
    roles = [source.role for source in sources]
    if conversation is None:  # tokens of no width are those that the tokenizer puts around the text
        first = next((i for i, (a, b) in enumerate(places) if a < b), len(ids))
        last = next((i for i, (a, b) in enumerate(reversed(places)) if a < b), 0)
        roles[:first] = ["bos"] * first
        roles[len(ids) - last :] = ["eos"] * last
    prepared = prompt_of(
        tokenizer, text, ids, places, roles, chat=conversation is not None, notes=notes,
        messages=[source.message for source in sources],
        segments=[source.segment for source in sources],
    )  # fmt: skip
    prepared.notes.extend(control_notes(tokenizer, ids, prepared.roles))
    return prepared


def prompt_of(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: list[int],
    places: list[Span],
    roles: list[str],
    *,
    chat: bool,
    notes: list[str] | None = None,
    messages: list[int] | None = None,
    segments: list[str] | None = None,
) -> Prompt:
    """Return the prompt of tokens at character spans `places` of `text`."""
    places = list(places)
    for i in dummy_prefixes(text, tokenizer.convert_ids_to_tokens(ids), places):
        places[i] = (places[i][0], places[i][0])
    tokens, spans = token_spans(text, places)
    names = vocabulary_text(tokenizer, ids)
    tokens = [
        name if start == stop else token
        for name, token, (start, stop) in zip(names, tokens, places, strict=True)
    ]
    for i, token in enumerate(ids):
        if token != tokenizer.bos_token_id:
            break
        roles[i] = "bos"
    return Prompt(
        text, ids, tokens, roles, spans, chat, notes or [],
        messages if messages and max(messages) >= 0 else [],
        segments if segments and any(segments) else [],
    )  # fmt: skip
