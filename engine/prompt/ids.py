"""Token ids as a caller has them: a list, an array or a tensor, or what a tokenizer returned."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any

from attentropy.engine.errors import UsageError

KINDS = (
    "a text, chat messages, a list of token ids (one row of an array or a tensor), or what a "
    "tokenizer returned for one text"
)


def read_ids(prompt: Any) -> list[int] | None:
    """Return the ids of one sequence [N] or [1, N]; None where the prompt holds no ids.

    Of what a tokenizer returned, the padding that its `attention_mask` names is left out. Raises
    `UsageError` for several sequences.
    """
    if isinstance(prompt, Mapping):
        return _of_tokenizer(prompt) if "input_ids" in prompt else None
    return _row(prompt)


def _of_tokenizer(encoded: Mapping[str, Any]) -> list[int]:
    ids = _row(encoded["input_ids"])
    if ids is None:
        raise UsageError("the prompt's input_ids must be numbers")
    mask = encoded.get("attention_mask")
    if mask is None:
        return ids
    shown = _row(mask)
    if shown is None or len(shown) != len(ids):
        raise UsageError("the prompt's attention_mask must have one number per token id")
    return [token for token, is_shown in zip(ids, shown, strict=True) if is_shown]


def _row(values: Any) -> list[int] | None:
    """Return one row of whole numbers as a list; None for anything else."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, (list, tuple)) or not values:
        return None
    if all(hasattr(value, "tolist") or isinstance(value, (list, tuple)) for value in values):
        rows = [_row([*value] if isinstance(value, tuple) else value) for value in values]
        if all(row is not None for row in rows):
            if len(rows) > 1:
                raise UsageError(
                    f"the prompt has {len(rows)} rows of token ids, but only one can be read at a "
                    "time; pass each row separately"
                )
            return rows[0]
    try:
        return [_whole(value) for value in values]
    except TypeError:
        return None


def _whole(value: Any) -> int:
    """Return a whole number. Raises `TypeError` for anything else."""
    if isinstance(value, bool):
        raise TypeError("a bool is not a token id")
    return index(value)
