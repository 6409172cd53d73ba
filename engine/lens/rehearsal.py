"""Measure rehearsal: how likely a position already makes a token of the answer that comes later."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.lens.lens import Lens


@dataclass(frozen=True)
class Rehearsal:
    """The most likely content token of the answer in each cell, [layers, positions] each.

    `logprob` in nats, NaN where nothing was measured; `ids` and `rank` are -1 there.
    """

    logprob: np.ndarray
    ids: np.ndarray
    rank: np.ndarray


def find_content(
    ids: Sequence[int], texts: Sequence[str], special: set[int], stop: set[int]
) -> list[bool]:
    """Tell which generated tokens carry the answer.

    Those before the end of turn that are no special token, no punctuation and no blank.
    """
    is_content, is_turn_open = [], True
    for token_id, text in zip(ids, texts, strict=True):
        is_turn_open = is_turn_open and token_id not in stop
        word = text.strip().strip(string.punctuation + "…“”‘’«»¿¡、。")
        is_content.append(is_turn_open and token_id not in special and bool(word))
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
    unique = list(dict.fromkeys(answer))
    if not unique or not len(positions):
        return Rehearsal(logprob, ids, rank)
    at = np.asarray(positions)
    excluded = np.asarray(own)[at][:, None] == np.asarray(unique)[None, :]  # [n, T]
    targets = torch.tensor(unique).expand(len(at), -1)
    rows = np.arange(len(at))
    for layer, residual in enumerate(residuals):
        result = lens.read(residual, top_k=0, targets=targets)
        assert result.target_logprob is not None
        assert result.target_rank is not None
        values = np.where(excluded, -np.inf, result.target_logprob.cpu().numpy())
        best = values.argmax(-1)
        is_measured = np.isfinite(values[rows, best])
        logprob[layer, at] = np.where(is_measured, values[rows, best], np.nan)
        ids[layer, at] = np.where(is_measured, np.asarray(unique)[best], -1)
        ranks = result.target_rank.cpu().numpy()[rows, best]
        rank[layer, at] = np.where(is_measured, ranks, -1)
    return Rehearsal(logprob, ids, rank)
