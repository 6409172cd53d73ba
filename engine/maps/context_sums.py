"""Sum up how far back each head attends, bin by bin of the distance, in O(heads) memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.trace.context import FIRST_KEYS, bin_starts
from attentropy.kernels.sweep import attention_by_distance

Results = dict[str, tuple[tuple[str, ...], np.ndarray]]


class ContextSums:
    """Sums of each head's weights per bin of distances; `results` divides them by the queries.

    heads: the number of heads of each entry (an attention call of a layer), 0 where none is
    recorded. tokens: those of the prompt, which decide how many bins there are. Counted with the
    weights are the queries that see a key so far away, what uniform attention would give, and the
    cache that these keys take.
    """

    def __init__(self, heads: Sequence[int], tokens: int) -> None:
        self._heads = np.array(heads, np.int64)
        self._starts = bin_starts(tokens)
        entries, columns = len(heads), len(self._starts)
        self._mass = np.zeros((entries, max(heads, default=0), columns))
        self._reaching = np.zeros((entries, columns), np.int64)
        self._uniform = np.zeros((entries, columns))
        self._queries = np.zeros(entries, np.int64)
        # Heads, bytes of a token in one, and the first entry that reads the same keys.
        self._cache = np.full((entries, 3), -1, np.int64)
        self._last_keys: dict[int, Tensor] = {}  # of the last token of each entry's last pass

    def add(self, entry: int, here: SequenceCall) -> None:
        """Take in the queries of a pass over the prompt, padding left out; see `of_tokens`."""
        mask, dropped = here.visibility.mask, here.visibility.first_key
        # The first keys of the sequence, some of which the cache may have dropped. A mask in chunks
        # counts from the first key itself.
        first_keys = FIRST_KEYS if mask.key_starts is not None else max(0, FIRST_KEYS - dropped)
        sums = attention_by_distance(
            here.query, here.key, here.lse, first_keys=first_keys, **here.where
        )[0]
        columns = min(sums.shape[1], self._mass.shape[2])  # further bins hold nothing
        self._mass[entry, : len(sums), :columns] += sums[:, :columns].cpu().double().numpy()
        first, stop = (ends[0].numpy() for ends in mask.ranges(torch.device("cpu")))
        sees = first < stop
        query = (np.arange(len(first)) + mask.query_offset)[sees]
        keys = _keys_by_bin(query, first[sees], stop[sees], FIRST_KEYS - dropped, self._starts)
        beyond = np.cumsum(keys[:, :0:-1], 1)[:, ::-1]  # in each bin and those after it
        self._reaching[entry] += np.hstack([keys[:, :1], beyond]).astype(bool).sum(0)
        self._uniform[entry] += (keys / keys.sum(1, keepdims=True)).sum(0)
        self._queries[entry] += len(query)
        _, kv_heads, _, size = here.key.shape
        values = size if here.value_size is None else here.value_size
        token_bytes = (size + values) * here.key.element_size()
        self._cache[entry] = kv_heads, token_bytes, self._first_reader(entry, here.key)

    def _first_reader(self, entry: int, key: Tensor) -> int:
        """Return the first entry that reads the same keys in this pass: some layers share them."""
        last = key[0, :, -1].detach().cpu()
        self._last_keys[entry] = last
        same = (i for i, other in self._last_keys.items() if torch.equal(other, last))
        return min(same, default=entry)  # NaN equals nothing

    def results(self) -> Results:
        """Return the variables of the trace, means over the queries that see a key.

        NaN and −1 where nothing was measured.
        """
        queries = np.where(self._queries > 0, self._queries, np.nan)
        exists = np.arange(self._mass.shape[1]) < self._heads[:, None]
        mass = np.where(exists[..., None], self._mass / queries[:, None, None], np.nan)
        reach, uniform = self._reaching / queries[:, None], self._uniform / queries[:, None]
        dims = ("layer", "context_head", "context_bin")
        return {
            "context_mass": (dims, mass.astype(np.float32)),
            "context_reach": (("layer", "context_bin"), reach.astype(np.float32)),
            "context_uniform": (("layer", "context_bin"), uniform.astype(np.float32)),
            "cache_heads": (("layer",), self._cache[:, 0].astype(np.int32)),
            "cache_bytes": (("layer",), self._cache[:, 1].astype(np.int32)),
            "cache_entry": (("layer",), self._cache[:, 2].astype(np.int32)),
        }

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the heads, and the least distance of each bin; −1 for the first keys."""
        return {"context_head": np.arange(self._mass.shape[1]), "context_bin": self._starts}

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all sums so far, to be saved."""
        return {name: values.copy() for name, values in self._named().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what `state` returned."""
        for name, values in self._named().items():
            values[...] = state[name]

    def _named(self) -> dict[str, np.ndarray]:
        return {
            "context_mass": self._mass, "context_reaching": self._reaching,
            "context_queries": self._queries, "context_cache": self._cache,
            "context_uniform": self._uniform,
        }  # fmt: skip


def _keys_by_bin(
    query: np.ndarray, first: np.ndarray, stop: np.ndarray, first_end: int, starts: np.ndarray
) -> np.ndarray:
    """Return how many of the keys first … stop−1 each query has in each bin, [query, bin].

    All are positions among the keys; those before `first_end` are the first keys, in bin 0.
    """
    rest = np.clip(first_end, first, stop)
    low, high = starts[1:], np.append(starts[2:], np.iinfo(np.int32).max)  # [bin], half open
    query, rest, end = query[:, None], rest[:, None], stop[:, None]
    back = np.minimum(end, query - low + 1) - np.maximum(rest, query - high + 1)
    ahead = np.minimum(end, query + high) - np.maximum(rest, query + low)
    ahead[:, 0] = 0  # distance 0 is no direction
    counts = np.maximum(back, 0) + np.maximum(ahead, 0)
    return np.hstack([rest - first[:, None], counts])
