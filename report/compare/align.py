"""Two token sequences laid side by side: which position of the one is which of the other.

Runs of equal ids, found between anchors: what both begin and end with; then what occurs once in
each, single ids or, where ids repeat, runs of several (patience diff); what is left between
anchors is short, and there the longest common subsequence is exact. Time and memory stay close to
linear whatever the sequences hold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

_EXACT = 2048  # tokens, on the longer side, that are compared without anchors
_RUNS = (1, 4, 16)  # lengths of what may be an anchor
_MOST_DEPTH = 16  # anchors within anchors; each depth reads every token once

Part = tuple[int, int, int, int]  # [a, b) of the one, [c, d) of the other


def align(one: Sequence[int], other: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of equal ids in both, [n] each, ascending in both: a common subsequence.

    Where tokens were inserted, dropped or replaced, positions are absent. The longest one there is
    where both have at most 2,048 tokens between what they begin and end with.
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
        else:  # nothing tells its parts apart: halves beside halves
            middle, beside = (a + b) // 2, (c + d) // 2
            parts += [(a, middle, c, beside, depth), (middle, b, beside, d, depth)]
    pairs.sort()
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _longest(one: Sequence[int], other: Sequence[int]) -> list[tuple[int, int]]:
    """The longest common subsequence, a row of its table as the bits of one number (Hyyrö 2004):
    bit j is 0 where the first j + 1 of `other` hold one more of it than the first j."""
    where: dict[int, int] = {}
    for j, token in enumerate(other):
        where[token] = where.get(token, 0) | 1 << j
    everything = (1 << len(other)) - 1
    rows = [everything]
    for token in one:
        row = rows[-1]
        shared = row & where.get(token, 0)
        rows.append(((row + shared) | (row - shared)) & everything)
    pairs = []
    i, j = len(one), len(other)
    while i and j:
        step = 1 << (j - 1)
        if rows[i] & step:  # without other[j - 1] it is as long
            j -= 1
        elif not rows[i - 1] & step:  # without one[i - 1] too
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs


def _anchors(one: Sequence[int], other: Sequence[int], part: Part) -> list[tuple[int, int]]:
    """Where runs begin that occur once in each part: the shortest runs of which there are any, and
    the most of them that lie in the order of both."""
    a, b, c, d = part
    for length in _RUNS:
        here = _once(one[a:b], length)
        there = _once(other[c:d], length)
        pairs = sorted((a + i, c + there[run]) for run, i in here.items() if run in there)
        if pairs:
            return _in_order(pairs)
    return []


def _once(tokens: Sequence[int], length: int) -> dict[Hashable, int]:
    """Runs of `length` tokens that occur once, and where."""
    runs: list[Hashable] = list(zip(*(tokens[i:] for i in range(length)), strict=False))
    counts = Counter(runs)
    return {run: i for i, run in enumerate(runs) if counts[run] == 1}


def _in_order(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest chain whose second places rise too, by patience sorting."""
    ends: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        pile = bisect_left(ends, j)
        before.append(at[pile - 1] if pile else -1)
        if pile == len(ends):
            ends.append(j)
            at.append(number)
        else:
            ends[pile], at[pile] = j, number
    chain, number = [], at[-1]
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]
