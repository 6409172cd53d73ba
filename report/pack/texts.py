"""Token texts and the lens's tokens, as numbers into a dictionary of labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.pack.encode import PackedArray, PackedArrays, deflate, pack
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.generated_tokens import token_probabilities
from attentropy.report.read.positions import Range
from attentropy.report.read.turns import turns
from attentropy.report.text import for_prompt, for_tooltip, label

_TOKEN_COLUMNS, _WORD_COLUMNS = 16, 14  # of a label


class Dictionary(TypedDict):
    """Labels by number, and the full text where the label is cut."""

    short: list[str]
    full: dict[str, str]


class TokenTexts(TypedDict):
    """The texts of tokens, with a number into them and into `roles` for each position.

    `words` is JSON, deflated: `short`, `full`, and `plain`, the texts with their blanks and line
    ends. Where the whole text is there it also has `turns`, (start, kind, label) each, the
    `probabilities` of the generated tokens, and [start, stop) of the `decisive` word. `starts`:
    whether each position starts a word, where some word has two tokens.
    """

    words: str
    ranges: list[list[int]]
    index: PackedArray
    roles: list[str]
    role: PackedArray
    starts: NotRequired[PackedArray]


class LensDetails(TypedDict):
    """The lens's readings besides entropy, and the dictionary of the tokens that they name."""

    packed: PackedArrays
    vocabulary: Dictionary


def token_texts(
    trace: Trace, ranges: Sequence[Range], word_starts: np.ndarray | None
) -> TokenTexts:
    """Return tokens, roles and the starts of words at the positions of `ranges`."""
    at = positions_of(ranges)
    numbers: dict[str, int] = {}
    words = trace["token_text"][at].tolist()
    index = [numbers.setdefault(text, len(numbers)) for text in words]
    roles: dict[str, int] = {}
    role = [roles.setdefault(name, len(roles)) for name in trace["role"][at].tolist()]
    dictionary = {
        **_dictionary(numbers, _TOKEN_COLUMNS),
        "plain": [for_prompt(text) for text in numbers],
        **_story(trace, ranges),
    }
    texts: TokenTexts = {
        "words": deflate(
            json.dumps(dictionary, separators=(",", ":"), ensure_ascii=False).encode()
        ),
        "ranges": [list(r) for r in ranges],
        "index": pack(np.array(index, np.int32)),
        "roles": list(roles),
        "role": pack(np.array(role, np.int32)),
    }
    if word_starts is not None:
        texts["starts"] = pack(word_starts[at].astype(np.int32))
    return texts


def _story(trace: Trace, ranges: Sequence[Range]) -> dict[str, Any]:
    """Return turns and answer of one trace whose texts are all there; nothing of others."""
    if list(ranges) != [(0, trace.dataset.sizes["position"])] or isinstance(trace, Difference):
        return {"turns": [], "probabilities": [], "decisive": None}
    answer = read_answer(trace)
    word = answer.decisive if answer is not None else None
    if word is not None and word.position >= len(trace.tokens):
        word = None  # an older trace, without the answer's positions
    return {
        "turns": [(turn.start, turn.kind, turn.label) for turn in turns(trace)],
        "probabilities": [
            float(f"{p:.4g}") if np.isfinite(p) else None for p in token_probabilities(trace)
        ],
        "decisive": [word.position, word.position + word.tokens] if word is not None else None,
    }


def no_lens_details() -> LensDetails:
    """Return the details of a page without the lens, or without single positions of it."""
    return {"packed": {}, "vocabulary": _dictionary((), _WORD_COLUMNS)}


def lens_details(
    trace: Trace, site: str, ranges: Sequence[Range], bits: int | None
) -> LensDetails:  # fmt: skip
    """Return a site's top tokens, ranks and divergence at the positions of `ranges`."""
    ids = _lens(trace, "lens_top_ids", ranges, site)
    targets = trace["target_ids"][positions_of(ranges)] if "target_ids" in trace else ids[0, :0, 0]
    words = sorted({int(i) for i in np.unique(np.append(ids, targets))} - {-1})
    packed = {
        "topIds": pack(_index(ids, words)),
        "topLogprobs": pack(_lens(trace, "lens_top_logprobs", ranges, site), bits),
    }
    if "lens_rank" in trace and targets.size:
        packed["targets"] = pack(_index(targets, words))
        packed["lensRank"] = pack(_lens(trace, "lens_rank", ranges, site))
    if "lens_kl" in trace:
        packed["lensKl"] = pack(_lens(trace, "lens_kl", ranges, site), bits)
    return {"packed": packed, "vocabulary": _dictionary(trace.text_of(words), _WORD_COLUMNS)}


def positions_of(ranges: Sequence[Range]) -> np.ndarray:
    """Return all positions of the ranges."""
    return np.concatenate([np.arange(*r) for r in ranges]) if ranges else np.zeros(0, int)


def _dictionary(texts: Iterable[str], columns: int) -> Dictionary:
    """Return texts as labels of `columns`, and the full text where the label does not show it."""
    labels = [(label(text, columns), for_tooltip(text)) for text in texts]
    return {
        "short": [short for short, _ in labels],
        "full": {str(i): text for i, (short, text) in enumerate(labels) if short != text},
    }


def _lens(trace: Trace, name: str, ranges: Sequence[Range], site: str) -> np.ndarray:
    """Return a lens variable at the positions of `ranges`."""
    return np.concatenate([trace.lens(name, slice(*r), site) for r in ranges], axis=1)


def _index(ids: np.ndarray, words: list[int]) -> np.ndarray:
    """Return where each id stands in `words`; -1 stays."""
    return np.where(ids >= 0, np.searchsorted(words, ids), -1).astype(np.int32)
