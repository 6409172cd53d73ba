"""Notes for the reader on what a prompt's tokens are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attentropy.engine.prompt.messages import Conversation
from attentropy.engine.trace.text import count

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAMED = 3  # control tokens that are named, each with its number


def control_notes(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], roles: list[str]
) -> list[str]:
    """Return a note for each control token that the words of the prompt became."""
    special = set(tokenizer.all_special_ids) - {getattr(tokenizer, "unk_token_id", None)}
    added: Any = getattr(tokenizer, "added_tokens_decoder", None)
    added = added if isinstance(added, Mapping) else {}  # a method where there is no such table
    special |= {token for token, entry in added.items() if getattr(entry, "special", False)}
    special -= {getattr(tokenizer, "unk_token_id", None)}
    typed = Counter(
        token for token, role in zip(ids, roles, strict=True)
        if role in ("content", "reasoning") and token in special
    )  # fmt: skip
    notes = []
    for token, number in typed.most_common(_NAMED):
        name = str(tokenizer.convert_ids_to_tokens(token))[:40]
        times = "" if number == 1 else f" ({count(number, 'time')})"
        notes.append(f"{name} in the text became a control token{times}")
    if len(typed) > _NAMED:
        others = count(len(typed) - _NAMED, "other text")
        notes.append(f"{others} in the prompt became control tokens too")
    return notes


def unread_arguments(tokenizer: PreTrainedTokenizerBase, conversation: Conversation) -> list[str]:
    """Return the names of the template's arguments that its source does not mention."""
    source = str(getattr(tokenizer, "chat_template", None) or "")
    return [
        name for name in conversation.arguments
        if name not in ("tools", "documents") and not re.search(rf"\b{re.escape(name)}\b", source)
    ]  # fmt: skip


def bos_notes(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """Return a note where the prompt starts with two beginning-of-text tokens, or lacks one."""
    bos, name = tokenizer.bos_token_id, tokenizer.bos_token
    if bos is None:
        return []
    if ids[:2] == [bos, bos]:
        return [f"the prompt starts with {name} twice; models are trained with one"]
    if ids[0] != bos and tokenizer("a", verbose=False)["input_ids"][0] == bos:
        return [f"the prompt does not start with {name}, which this tokenizer adds to every text"]
    return []
