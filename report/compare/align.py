"""The alignment of two token sequences: which position of the one is which of the other.

The common beginning and end are matched first. Between them, anchors are ids that occur once in
each sequence, or, where ids repeat, runs of several that do (patience diff). Between anchors the
parts are short, and the longest common subsequence is computed exactly. Time and memory stay close
to linear for any sequences.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

_EXACT = 2048  # tokens, on the longer side, that are compared without anchors
_RUNS = (1, 4, 16)  # lengths of the runs that may be anchors
_MOST_DEPTH = 16  # of anchors within anchors; each depth reads every token once

Part = tuple[int, int, int, int]  # [a, b) of the one, [c, d) of the other


def align(one: Sequence[int], other: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of a common subsequence in both, [n] each and ascending.

    Positions of inserted, dropped or replaced tokens are absent. The subsequence is the longest one
    where both sequences have at most 2,048 tokens between their common beginning and end.
    """
    pairs: list[tuple[int, int]] = []
    parts = [(0, len(one), 0, len(other), 0)]
    while parts:
        a, b, c, d, depth = parts.pop()
        while a < b and c < d and one[a] == other[c]:
            pairs.append((a, c))
            a, c = a + 1, c + 1
        while a < b and c < d and one[b - 1] == other[d - 1]:
            b, d = b - 1, d - 1
            pairs.append((b, d))
        if a == b or c == d:
            continue
        if max(b - a, d - c) <= _EXACT:
            pairs += [(a + i, c + j) for i, j in _longest(one[a:b], other[c:d])]
            continue
        anchors = _anchors(one, other, (a, b, c, d)) if depth < _MOST_DEPTH else []
        if anchors:
            edges = [(a - 1, c - 1), *anchors, (b, d)]
            pairs += anchors
            parts += [(i + 1, k, j + 1, m, depth + 1) for (i, j), (k, m) in pairwise(edges)]
        else:  # no run is unique: align the first halves, and the second halves
            middle, other_middle = (a + b) // 2, (c + d) // 2
            parts += [(a, middle, c, other_middle, depth), (middle, b, other_middle, d, depth)]
    pairs.sort()
    positions = np.array(pairs, np.int64).reshape(-1, 2)
    return positions[:, 0], positions[:, 1]


def _longest(one: Sequence[int], other: Sequence[int]) -> list[tuple[int, int]]:
    """Return the index pairs of the longest common subsequence.

    Each row of its table is the bits of one number (Hyyrö 2004): bit j is 0 where the first j + 1
    tokens of `other` share one token more than the first j.
    """
    masks: dict[int, int] = {}
    for j, token in enumerate(other):
        masks[token] = masks.get(token, 0) | 1 << j
    everything = (1 << len(other)) - 1
    rows = [everything]
    for token in one:
        row = rows[-1]
        shared = row & masks.get(token, 0)
        rows.append(((row + shared) | (row - shared)) & everything)
    pairs = []
    i, j = len(one), len(other)
    while i and j:
        step = 1 << (j - 1)
        if rows[i] & step:  # as long without other[j - 1]
            j -= 1
        elif not rows[i - 1] & step:  # as long without one[i - 1]
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs


def _anchors(one: Sequence[int], other: Sequence[int], part: Part) -> list[tuple[int, int]]:
    """Return where runs begin that occur once in each part, as many as are in order in both.

    The runs are as short as possible: the first length of `_RUNS` that has any.
    """
    a, b, c, d = part
    for length in _RUNS:
        runs = _unique_runs(one[a:b], length)
        other_runs = _unique_runs(other[c:d], length)
        shared = runs.keys() & other_runs.keys()
        pairs = sorted((a + runs[run], c + other_runs[run]) for run in shared)
        if pairs:
            return _in_order(pairs)
    return []


def _unique_runs(tokens: Sequence[int], length: int) -> dict[Hashable, int]:
    """Return the runs of `length` tokens that occur once, and where each begins."""
    runs: list[Hashable] = list(zip(*(tokens[i:] for i in range(length)), strict=False))
    counts = Counter(runs)
    return {run: i for i, run in enumerate(runs) if counts[run] == 1}


def _in_order(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest chain of pairs whose second places ascend too, by patience sorting."""
    tops: list[int] = []  # second place of each pile's top pair
    top_numbers: list[int] = []  # and that pair's number
    previous: list[int] = []  # the pair before each one in its chain, -1 for none
    for number, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        previous.append(top_numbers[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(j)
            top_numbers.append(number)
        else:
            tops[pile], top_numbers[pile] = j, number
    chain, number = [], top_numbers[-1]
    while number >= 0:
        chain.append(pairs[number])
        number = previous[number]
    return chain[::-1]
