"""Token ids of a text, and the characters of each, from any tokenizer that transformers has.

Tokenizers in Rust give offsets. Others do not, so their tokens are decoded and found in the text.
Those of mistral_common ("tekken") have no template as text either: they write a chat as ids, since
their control tokens cannot be written in a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attentropy.engine.prompt.tokens import Span, align_pieces, decoded_pieces
from attentropy.engine.trace.text import count

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """Token ids, their character spans, [N] each, and notes."""

    ids: list[int]
    places: list[Span]
    notes: list[str] = field(default_factory=list)


def has_chat_format(tokenizer: Any) -> bool:
    """Return whether a tokenizer writes chats, by a template or by itself."""
    return bool(getattr(tokenizer, "chat_template", None)) or writes_chat_ids(tokenizer)


def writes_chat_ids(tokenizer: Any) -> bool:
    """Return whether a tokenizer makes the ids of a chat without a template, as tekken's does."""
    kinds = (kind.__name__ for kind in type(tokenizer).__mro__)
    return not getattr(tokenizer, "chat_template", None) and "MistralCommonBackend" in kinds


def encode(tokenizer: PreTrainedTokenizerBase, text: str, *, special_tokens: bool) -> Encoded:
    """Tokenise a text. special_tokens: whether the tokenizer adds its own around it."""
    options: dict[str, Any] = {"add_special_tokens": special_tokens, "verbose": False}
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(text, return_offsets_mapping=True, **options)
        places = [(int(a), int(b)) for a, b in encoded["offset_mapping"]]
        return Encoded([int(i) for i in encoded["input_ids"]], places)
    ids = [int(i) for i in tokenizer(text, **options)["input_ids"]]
    bare = [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    added = next((i for i in range(len(ids)) if ids[i : i + len(bare)] == bare), 0)
    places, missing = align_pieces(text, decoded_pieces(tokenizer, bare))
    after = len(ids) - len(bare) - added
    places = [(0, 0)] * added + places + [(len(text), len(text))] * after
    return Encoded(ids, places, _notes(missing, len(ids)))


def encode_chat(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    messages: Sequence[Mapping[str, Any]],
    **arguments: Any,
) -> Encoded:
    """Tokenise a chat whose rendering is `text`; arguments: as `apply_chat_template` takes them."""
    if not writes_chat_ids(tokenizer):
        return encode(tokenizer, text, special_tokens=False)  # the template writes them
    is_answer = messages[-1]["role"] == "assistant"
    is_open = is_answer and bool(messages[-1].get("content"))
    encoded: Any = tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=True, return_dict=True,
        add_generation_prompt=not is_answer,
        continue_final_message=is_open and not messages[-1].get("tool_calls"),
        **arguments,
    )  # fmt: skip
    ids = [int(i) for i in encoded["input_ids"]]
    places, missing = align_pieces(text, decoded_pieces(tokenizer, ids))
    return Encoded(ids, places, _notes(missing, len(ids)))


def _notes(missing: int, tokens: int) -> list[str]:
    if not missing:
        return []
    return [
        f"this tokenizer gives no character offsets, and {missing:,} of "
        f"{count(tokens, 'token')} could not be found in the text; they share "
        "the places and roles of their neighbours"
    ]
