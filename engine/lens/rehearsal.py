"""Measure rehearsal: how likely a position already makes a token of the answer that comes later."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.lens.lens import Lens, read_layers

_PART_OF_LETTER = re.compile(r"<(?:0x[0-9A-F]{2} ?)+>")  # as `vocabulary_text` writes it
_ROWS = 1024  # rows whose logits of all the answer's tokens exist at once


@dataclass(frozen=True)
class Rehearsal:
    """The most likely content token of the answer in each cell, [layers, positions] each.

    `logprob` in nats, NaN where nothing was measured; `ids` and `rank` are -1 there. `placebo`: the
    largest ln P that a placebo question gives the same token, NaN where none was read.
    """

    logprob: np.ndarray
    ids: np.ndarray
    rank: np.ndarray
    placebo: np.ndarray


def find_content(
    ids: Sequence[int], texts: Sequence[str], special: set[int], stop: set[int]
) -> list[bool]:
    """Tell which generated tokens carry the answer.

    Those before the end of turn that are no special token, no punctuation, no blank, and no part of
    a letter: the first byte of a letter begins most letters of its script, and names none.
    """
    is_content, is_turn_open = [], True
    for token_id, text in zip(ids, texts, strict=True):
        is_turn_open = is_turn_open and token_id not in stop
        word = text.strip().strip(string.punctuation + "…“”‘’«»¿¡、。")
        is_word = bool(word) and not _PART_OF_LETTER.fullmatch(text)
        is_content.append(is_turn_open and token_id not in special and is_word)
    return is_content


def rehearse(
    lens: Lens,
    residuals: Sequence[Tensor],
    positions: Sequence[int],
    length: int,
    answer: Sequence[int],
    own: Sequence[int],
) -> Rehearsal:
    """Return the statistic `rehearsal` of the project's definitions at `positions`, NaN elsewhere.

    residuals: one [n, d] per layer, at `positions`; answer: [T] ids of the answer's content
    tokens in order, the first generated token first; own: [length] the id that each position
    itself has to predict next, which does not count there.
    """
    shape = (len(residuals), length)
    logprob = np.full(shape, np.nan, np.float32)
    ids = np.full(shape, -1, np.int32)
    rank = np.full(shape, -1, np.int32)
    result = Rehearsal(logprob, ids, rank, np.full(shape, np.nan, np.float32))
    unique = list(dict.fromkeys(answer))
    if not unique or not len(positions):
        return result
    at = np.asarray(positions)
    tokens = torch.tensor(unique)
    is_own = torch.as_tensor(np.asarray(own)[at])[:, None] == tokens  # [n, T]
    best = torch.stack([_most_likely(lens, one, tokens, is_own) for one in residuals])
    targets = tokens[best.clamp_min(0)]
    results = read_layers([lens] * len(residuals), residuals, top_k=0, targets=targets)
    for layer, read in enumerate(results):
        assert read.target_logprob is not None
        assert read.target_rank is not None
        values = read.target_logprob.cpu().numpy()
        is_measured = (best[layer] >= 0).numpy() & np.isfinite(values)
        logprob[layer, at] = np.where(is_measured, values, np.nan)
        ids[layer, at] = np.where(is_measured, targets[layer].numpy(), -1)
        rank[layer, at] = np.where(is_measured, read.target_rank.cpu().numpy(), -1)
    return result


def _most_likely(lens: Lens, residual: Tensor, tokens: Tensor, excluded: Tensor) -> Tensor:
    """Return which of `tokens` [T] is the most likely one at each residual, [n] int64.

    excluded: [n, T]; -1 where all are. Only this one token of each row then needs a rank, which
    takes a look at the whole vocabulary.
    """
    parts = []
    for first in range(0, len(residual), _ROWS):
        rows = slice(first, first + _ROWS)
        logits = lens.logits(residual[rows], tokens).cpu()
        best = logits.masked_fill_(excluded[rows], -torch.inf).argmax(-1)
        parts.append(torch.where(excluded[rows].all(-1), -1, best))
    return torch.cat(parts)
