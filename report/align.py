"""Two token sequences laid side by side: which position of the one is which of the other.

Runs of equal ids, found between anchors: what both begin and end with, then the ids that occur
once in each, in the order of both (patience diff), then, in what is left between them, difflib.
So 131,072 tokens align in seconds, where difflib alone is quadratic in repeated tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np

_SMALL = 1024  # tokens that difflib compares at once, on the longer side


def align(one: Sequence[int], other: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of equal ids in both, [n] each, ascending in both: a common subsequence.

    Where tokens were inserted, dropped or replaced, positions are absent.
    """
    pairs: list[tuple[int, int]] = []
    open_parts = [(0, len(one), 0, len(other))]
    while open_parts:
        a, b, c, d = open_parts.pop()
        while a < b and c < d and one[a] == other[c]:
            pairs.append((a, c))
            a, c = a + 1, c + 1
        while a < b and c < d and one[b - 1] == other[d - 1]:
            b, d = b - 1, d - 1
            pairs.append((b, d))
        if a == b or c == d:
            continue
        anchors = _unique_in_both(one, other, (a, b, c, d))
        if anchors:
            edges = [(a - 1, c - 1), *anchors, (b, d)]
            pairs += anchors
            open_parts += [(i + 1, k, j + 1, m) for (i, j), (k, m) in pairwise(edges)]
        elif max(b - a, d - c) <= _SMALL:
            matcher = SequenceMatcher(None, one[a:b], other[c:d], autojunk=False)
            for block in matcher.get_matching_blocks():
                pairs += [(a + block.a + i, c + block.b + i) for i in range(block.size)]
        else:  # nothing tells its parts apart: halves beside halves
            middle, other_middle = (a + b) // 2, (c + d) // 2
            open_parts += [(a, middle, c, other_middle), (middle, b, other_middle, d)]
    pairs.sort()
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _unique_in_both(
    one: Sequence[int], other: Sequence[int], part: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """Ids that occur once in each part, the longest run of them in the order of both."""
    a, b, c, d = part
    once = {i for i, n in Counter(one[a:b]).items() if n == 1}
    once &= {i for i, n in Counter(other[c:d]).items() if n == 1}
    where = {other[j]: j for j in range(c, d) if other[j] in once}
    pairs = [(i, where[one[i]]) for i in range(a, b) if one[i] in once]
    # The longest increasing subsequence of the second places, by patience sorting.
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
    chain, number = [], at[-1] if at else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]
