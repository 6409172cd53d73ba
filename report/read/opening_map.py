"""The layer and the head whose attention map opens: where there is something to see.

That is the head that attends most to one content word of the prompt in the row that writes the
answer's decisive word. Where no head attends much to one, or nobody knows, it is the layer or the
head whose weights depend most on more than the distance. Sink keys, a query itself and the key
before it are left out of both, since most heads attend to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.content_words import content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.maps import has_map
from attentropy.report.read.top_keys import hidden_keys

_LEAST_WEIGHT = 0.2  # below it no head is said to attend to one word


@dataclass(frozen=True)
class OpeningMap:
    """`entry` is the layer's, `head` an index among the map's or the window's heads.

    `number` is the model's number of that head, and both are −1 for the mean over a window's heads.
    """

    entry: int
    head: int
    number: int


def opening_layer(trace: Trace) -> int:
    """Return the layer whose map opens."""
    return opening_map(trace).entry


@once_per_trace
def opening_map(trace: Trace) -> OpeningMap:
    """Return the layer and the head whose map opens, the first layer where nothing was measured."""
    name = "map" if has_map(trace) else "window"
    if name not in trace:
        return OpeningMap(0, -1, -1)
    numbers = trace[f"{name}_head"] if f"{name}_head" in trace else np.array([-1])
    weights = _weights_of_decisive_row(trace)
    if weights is not None and np.nanmax(weights, initial=0) >= _LEAST_WEIGHT:
        entry, head = divmod(int(np.nan_to_num(weights).argmax()), weights.shape[1])
        own = np.flatnonzero(numbers == int(trace["head"][head]))
        index = int(own[0]) if own.size else 0
        if np.isfinite(trace.dataset[name][entry, index].values).any():
            return _opening(name, numbers, entry, index)
    for without_usual in (True, False):
        scores = np.nan_to_num(_structures(trace, name, without_usual=without_usual))
        if (scores > 0).any():
            return _opening(name, numbers, *divmod(int(scores.argmax()), scores.shape[1]))
    return _opening(name, numbers, 0, 0)


def _opening(name: str, numbers: np.ndarray, entry: int, index: int) -> OpeningMap:
    """Return the opening; the only head of a window that has means has no index."""
    number = int(numbers[index])
    return OpeningMap(entry, -1 if number < 0 and name == "window" else index, number)


def _weights_of_decisive_row(trace: Trace) -> np.ndarray | None:
    """Return [layer, head]: the weight on the most attended key, where that is a content word.

    Zero where it is none of the prompt's, a sink key, or next to the query. None where the trace
    does not have each head's most attended key, or has no decisive word.
    """
    answer = read_answer(trace)
    if answer is None or answer.decisive is None or "top_key" not in trace:
        return None
    query, prompt = answer.decisive.query, trace.prompt_tokens
    if "max_prob" not in trace or "head" not in trace or not 0 < query < len(trace.tokens):
        return None
    roles = [str(role) for role in trace["role"][:prompt]]
    words = content_keys(trace.tokens[:prompt], roles)
    is_told = np.array([bool(w) and r == "content" for w, r in zip(words, roles, strict=True)])
    is_told[:1] = False
    is_told[query - 1 :] = False
    keys = trace.dataset["top_key"][:, :, query].values
    is_own = np.array([~np.isin(row, hidden_keys(trace, i)) for i, row in enumerate(keys)])
    is_own &= (keys >= 0) & (keys < prompt) & is_told[np.clip(keys, 0, prompt - 1)]
    return np.where(is_own, np.nan_to_num(trace.dataset["max_prob"][:, :, query].values), 0.0)


def _structures(trace: Trace, name: str, *, without_usual: bool) -> np.ndarray:
    """Return [layer, head]: the structure of each map, that of a window of means as one head."""
    variable = trace.dataset[name]
    queries, keys = trace[f"{name}_query"], trace[f"{name}_key"]
    ends = np.append(keys[1:], keys[-1] + max(1, int(np.diff(keys[-2:]).max(initial=1))))
    scores = []
    for entry in range(variable.shape[0]):
        weights = variable[entry].values.astype(np.float64)
        if without_usual:
            is_usual = ends[None, :] >= queries[:, None]  # the query's tile and the one before it
            for sink in {0, *hidden_keys(trace, entry)}:
                is_usual = is_usual | ((keys <= sink) & (sink < ends))[None, :]
            weights = np.where(is_usual & np.isfinite(weights), 0, weights)
        measure = structure_besides_distance if without_usual else structure
        scores.append([measure(head) for head in weights])
    return np.array(scores, np.float64)


def structure(weights: np.ndarray) -> float:
    """Return how much the keys of a map depend on the query, in nats.

    The sum over its rows of mass × log(share of the key in the row ÷ share of the key in all rows),
    divided by the number of rows: of rows that sum to one the mutual information of query and key.
    weights [rows, keys]; NaN without values.
    """
    rows = weights[np.isfinite(weights).all(1)]
    if not rows.size or not rows.any():
        return math.nan
    masses = rows.sum(1, keepdims=True)
    shares = np.divide(rows, masses, out=np.zeros_like(rows), where=masses > 0)
    mean = rows.sum(0) / rows.sum()
    ratio = np.divide(shares, mean, out=np.ones_like(rows), where=(shares > 0) & (mean > 0))
    return float((rows * np.log(ratio)).sum() / len(rows))


def structure_besides_distance(weights: np.ndarray) -> float:
    """Return how far the weights of a map are from what the distance alone explains, in nats.

    The sum of weight × log(weight ÷ mean weight at that distance between query and key), divided by
    the number of rows. weights [rows, keys] of tiles of one size; NaN without values.
    """
    rows, keys = weights.shape
    is_known = np.isfinite(weights)
    if not is_known.any():
        return math.nan
    distance = np.arange(rows)[:, None] - np.arange(keys)[None, :] + keys
    known = np.where(is_known, weights, 0)
    sums = np.bincount(distance.ravel(), known.ravel())
    mean = sums / np.maximum(np.bincount(distance.ravel(), is_known.ravel()), 1)
    expected = mean[distance]
    is_positive = (known > 0) & (expected > 0)
    ratio = np.divide(known, expected, out=np.ones_like(known), where=is_positive)
    return float((known * np.log(ratio)).sum() / rows)
