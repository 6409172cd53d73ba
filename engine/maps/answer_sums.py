"""Sum up what the tokens of an answer attend to, key by key, in O(keys) memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.window_size import kept_per_head
from attentropy.kernels.sweep import attention_received


class AnswerSums:
    """Sums of the weights p_ij over the answer's queries i, of each key j; `means` divides them.

    `heads`: the number of heads of each entry (an attention call of a layer), 0 where none is
    recorded. `tokens`: those before the answer, by which it is decided whether the sums are
    `per_head` or the mean over heads; the keys grow with the answer.
    """

    def __init__(self, heads: Sequence[int], tokens: int) -> None:
        self._heads = np.array(heads, np.int64)
        largest = max(heads, default=0)
        self.per_head = kept_per_head(len(heads) * largest * tokens)
        self._sums = np.zeros((len(heads), largest if self.per_head else 1, 0))
        self._queries = np.zeros(len(heads), np.int64)

    def add(self, entry: int, here: SequenceCall) -> None:
        """Take in the queries of a pass, which are all of the answer."""
        start, stop = here.rows
        received = attention_received(
            here.query, here.key, here.lse, heads="all" if self.per_head else "mean", **here.where
        )[0]
        first, keys = here.visibility.first_key, here.visibility.mask.keys
        missing = first + keys - self._sums.shape[-1]
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, missing)))
        values = received.cpu().double().numpy()
        self._sums[entry, : len(values), first : first + keys] += values
        self._queries[entry] += stop - start

    def means(self) -> np.ndarray:
        """Return the mean weight of the answer's tokens on each key, [entry, head or 1, key].

        float32; NaN where nothing was measured.
        """
        heads = self._heads if self.per_head else np.minimum(self._heads, 1)
        exists = np.arange(self._sums.shape[1]) < heads[:, None]
        n = np.where(self._queries > 0, self._queries, np.nan)
        means = self._sums / n[:, None, None]
        return np.where(exists[..., None], means, np.nan).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all sums so far, to be saved; nothing before the answer begins."""
        if not self._queries.any():
            return {}
        return {"attention": self._sums.copy(), "tokens": self._queries.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what `state` returned."""
        if "attention" in state:
            self._sums, self._queries = state["attention"].copy(), state["tokens"].copy()
