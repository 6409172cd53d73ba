"""The automatic window: exact weights of a short prompt, or of a longer one's tail."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from attentropy.engine.masks import Visibility
from attentropy.kernels.sweep import attention_window

# Exact weights are kept whole up to this many tokens, and of the tail of a longer prompt.
WINDOW_TOKENS = 512
WINDOW_TAIL = 64
WINDOW_BYTES = 64 * 2**20

_DIMS = ("layer", "window_head", "window_query", "window_key")


class TailWindow:
    """Of one sequence of `tokens` tokens, the square that ends with it; see `stream.Sweeps`.

    Per head while `layers` of them stay within `WINDOW_BYTES`, else the mean over heads and beside
    it that of −p ln p.
    """

    tile: tuple[int, int] | None = None

    def __init__(self, tokens: int, entries: int, heads: int, layers: int) -> None:
        self.tokens, self.entries, self.heads = tokens, entries, heads
        self.first = 0 if tokens <= WINDOW_TOKENS else tokens - WINDOW_TAIL
        self.per_head = heads * (tokens - self.first) ** 2 * 4 * layers <= WINDOW_BYTES

    def layout(self) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
        """Dimensions and shapes of its arrays."""
        side = self.tokens - self.first
        shape = (self.entries, self.heads if self.per_head else 1, side, side)
        return dict.fromkeys(self._names, (_DIMS, shape))

    def coordinates(self) -> dict[str, tuple[str, np.ndarray]]:
        """Coordinates of its arrays; head −1 is the mean."""
        rows = np.arange(self.first, self.tokens, dtype=np.int32)
        heads = np.arange(self.heads) if self.per_head else np.array([-1])
        return {
            "window_head": ("window_head", heads.astype(np.int32)),
            "window_query": ("window_query", rows),
            "window_key": ("window_key", rows),
        }

    @property
    def _names(self) -> tuple[str, ...]:
        return ("window",) if self.per_head else ("window", "window_entropy")

    def heard(
        self,
        entry: int,
        query: Tensor,
        key: Tensor,
        lse: Tensor,
        seen: Visibility,
        score: dict[str, Any],
        entropy: Tensor | None = None,
    ) -> dict[str, tuple[int, np.ndarray]]:
        """The window's rows of this call, over all of its keys; those it does not see weigh 0."""
        start = max(self.first, seen.position)
        stop = min(self.tokens, seen.position + seen.queries)
        if start >= stop:
            return {}
        first = max(self.first, seen.first_key)  # a sliding cache drops what no row sees
        rows = (start - seen.position, stop - seen.position)
        columns = (first - seen.first_key, stop - seen.first_key)
        done = {}
        for name in self._names:
            found = attention_window(
                query, key, lse, rows, columns,
                values="weight" if name == "window" else "entropy", **score, **seen.arguments(),
            )[0].float()  # fmt: skip
            if not self.per_head:
                found = found.mean(0, keepdim=True)
            whole = np.zeros((*found.shape[:2], self.tokens - self.first), np.float32)
            whole[..., first - self.first : stop - self.first] = found.cpu().numpy()
            done[name] = (start - self.first, whole)
        return done

    def state(self) -> dict[str, np.ndarray]:
        """Nothing: its rows leave it at once."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Nothing to do."""

    def finished(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Nothing more."""
        return {}
