"""Which queries of a layer see each key, from how many keys each query sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.types import Array


@dataclass(frozen=True)
class Audience:
    """What the queries of one layer see: how many see each key, and what a uniform row gives it.

    queries: [key]; uniform: Σ 1 / visible over these queries, [key].
    """

    queries: Array
    uniform: Array


def audience_of(visible: Array, keys: int) -> Audience:
    """Return what queries that see `visible` keys each see of `keys` keys, in causal order.

    A query sees the last keys up to its own; one that sees more than there are before it sees the
    first ones of all, one of a negative number none.
    """
    counts = np.maximum(np.asarray(visible, np.int64), 0)
    own = np.arange(counts.size)
    first = np.maximum(own - counts + 1, 0)
    stop = np.minimum(first + counts, keys)
    queries, uniform = np.zeros((2, keys + 1))
    np.add.at(queries, first, 1.0)
    np.add.at(queries, stop, -1.0)
    share = 1 / np.maximum(counts, 1)
    np.add.at(uniform, first, share)
    np.add.at(uniform, stop, -share)
    return Audience(queries.cumsum()[:keys].round(), uniform.cumsum()[:keys])
