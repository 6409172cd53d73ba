"""Lay a generated answer out for the trace: its tokens as positions, and along `step`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.lens.rehearsal import find_content
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt, name_tokens
from attentropy.engine.prompt.reasoning import answer_parts, answer_roles
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.run.decode import Token, end_ids
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.trace.checks.unreadable import UNREADABLE
from attentropy.engine.trace.finished_chunks import ANSWER
from attentropy.engine.trace.text import text_array

Arrays = Mapping[str, tuple[Any, np.ndarray]]
"""Name -> dimensions and values."""

_CONTEXT = 8  # tokens of the prompt that are decoded with the answer: a first blank stays


def answer_arrays(
    loaded: LoadedModel, answer: Sequence[Token], parts: Sequence[str]
) -> dict[str, Any]:
    """Return the generated tokens as the trace's arrays along `step`.

    parts: what `answer_parts` says of each token; only the answer itself has content tokens.
    """
    ids = [token.id for token in answer]
    texts = vocabulary_text(loaded.tokenizer, ids)
    words = find_content(ids, texts, set(loaded.tokenizer.all_special_ids), end_ids(loaded))
    content = [word and part == "content" for word, part in zip(words, parts, strict=True)]
    return {
        "generated_ids": ("step", np.array(ids, np.int32)),
        "generated_logprob": ("step", np.array([token.logprob for token in answer], np.float32)),
        "generated_rank": ("step", np.array([token.rank for token in answer], np.int32)),
        "generated_entropy": ("step", np.array([token.entropy for token in answer], np.float32)),
        "generated_content": ("step", np.array(content, np.int8)),
        "generated_text": ("step", text_array(texts)),
    }


def answer_facts(
    loaded: LoadedModel, ids: Sequence[int], parts: Sequence[str]
) -> dict[str, str | bool]:
    """Return the trace's attributes of the answer: its text, that of its reasoning, how it ended.

    The tokens of each text are decoded together, without special tokens and what follows the end
    of the turn. A character that the limit cut in the middle is left out. parts: as `answer_arrays`
    takes them.
    """
    tokenizer, ends = loaded.tokenizer, end_ids(loaded)
    special = set(tokenizer.all_special_ids)
    length = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    is_cut = 0 < len(ids) == length

    def text_of(part: str) -> str:
        own = [
            token
            for token, other in zip(ids[:length], parts[:length], strict=True)
            if other == part and token not in special
        ]
        text = str(
            tokenizer.decode(own, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )
        return (text.rstrip("\ufffd") if is_cut and parts[-1] == part else text).strip()

    facts: dict[str, str | bool] = {"answer": text_of("content")}
    if reasoning := text_of("reasoning"):
        facts["reasoning"] = reasoning
    return facts | ({"answer_is_cut": is_cut} if ids else {})


def with_answer(loaded: LoadedModel, text: Prompt, ids: Sequence[int]) -> Prompt:
    """Return the prompt and the generated tokens `ids` as one sequence of tokens."""
    if not ids:
        return text
    before = text.ids[-_CONTEXT:]
    named = name_tokens(loaded.tokenizer, [*before, *ids])
    tokens, spans = named.tokens[len(before) :], named.spans[len(before) :]
    end = max((stop for _, stop in text.spans), default=0)
    start = spans[0][0]
    spans = [(end + max(0, a - start), end + max(0, b - start)) for a, b in spans]
    whole = _extended(text, list(ids), tokens, spans)
    parts = parts_of_answer(loaded, whole.ids, whole.tokens, len(text.ids))
    return replace(whole, roles=text.roles + answer_roles(parts))


def parts_of_answer(
    loaded: LoadedModel, ids: Sequence[int], texts: Sequence[str], start: int
) -> list[str]:
    """Return what `answer_parts` says of the tokens from `start` on; `ids` and `texts` are all."""
    return answer_parts(texts, start, has_ended=bool(ids) and int(ids[-1]) in end_ids(loaded))


def with_room(text: Prompt, room: int) -> Prompt:
    """Return the prompt followed by `room` tokens that are not generated yet."""
    end = max((stop for _, stop in text.spans), default=0)
    return _extended(text, [-1] * room, [""] * room, [(end, end)] * room)


def _extended(
    text: Prompt, ids: list[int], tokens: list[str], spans: list[tuple[int, int]]
) -> Prompt:
    return replace(
        text, ids=text.ids + ids, tokens=text.tokens + tokens, spans=text.spans + spans,
        roles=text.roles + ["generated"] * len(ids),
        messages=text.messages and text.messages + [-1] * len(ids),
        segments=text.segments and text.segments + [""] * len(ids),
    )  # fmt: skip


def answer_fact(answer: Sequence[Token], texts: Sequence[str], roles: Sequence[str]) -> str:
    """Return what a commit keeps of tokens of the answer; `read_answer_fact` reads it."""
    fact = {
        "ids": [token.id for token in answer], "texts": [str(text) for text in texts],
        "roles": list(roles), "tokens": [astuple(token) for token in answer],
    }  # fmt: skip
    return json.dumps(fact)


def read_answer_fact(facts: Mapping[str, str]) -> list[Token]:
    """Return the tokens among what a commit keeps. Raises `TraceError` where they are damaged."""
    try:
        tokens = parse_json(facts.get(ANSWER, "{}"), finite=False).get("tokens", [])
        return [Token(int(i), float(p), int(rank), float(h)) for i, p, rank, h in tokens]
    except UNREADABLE as error:
        raise TraceError(
            "the answer in a finished chunk cannot be read; start over with `force=True`"
        ) from error


def vocabulary_arrays(texts: dict[int, str]) -> dict[str, Any]:
    """Return vocabulary entries and their texts as the trace's coordinates along `vocabulary`."""
    ids = sorted(texts)
    return {
        "vocabulary_ids": ("vocabulary", np.array(ids, np.int32)),
        "vocabulary_text": ("vocabulary", text_array([texts[i] for i in ids])),
    }


def padded(arrays: Arrays, tokens: int) -> Arrays:
    """Return arrays of the prompt alone with missing values for the answer's positions."""

    def pad(dims: Any, values: np.ndarray) -> np.ndarray:
        if "position" not in dims:
            return values
        widths = [
            (0, tokens - n if dim == "position" else 0)
            for dim, n in zip(dims, values.shape, strict=True)
        ]
        return np.pad(values, widths, constant_values=-1 if values.dtype.kind == "i" else np.nan)

    return {name: (dims, pad(dims, values)) for name, (dims, values) in arrays.items()}
