"""One sequence's part in an attention call, whole or without its padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.attention.visibility import Visibility


@dataclass(frozen=True)
class SequenceCall:
    """One sequence's part in an attention call: a batch of one.

    query [1, Hq, Nq, D], key [1, Hkv, Nk, D], lse and entropy (None where it is not recorded)
    [1, Hq, Nq]; `score` holds scale, softcap and the like; value_size: the head size of the
    values, None where it is that of the keys. Padding is among the rows; `of_tokens` leaves it out.
    """

    query: Tensor
    key: Tensor
    lse: Tensor
    visibility: Visibility
    score: dict[str, Any]
    entropy: Tensor | None = None
    value_size: int | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """First query and end."""
        return self.visibility.position, self.visibility.end

    @property
    def where(self) -> dict[str, Any]:
        """The arguments of an operation on these queries and keys."""
        return self.score | self.visibility.arguments()

    def part(self, start: int, stop: int) -> SequenceCall:
        """Return the queries start … stop−1, counted from the first."""
        rows = slice(start, stop)
        return replace(
            self, query=self.query[:, :, rows], lse=self.lse[:, :, rows],
            entropy=None if self.entropy is None else self.entropy[:, :, rows],
            visibility=self.visibility.part(start, stop),
        )  # fmt: skip

    def of_tokens(self, begin: int, end: int | None) -> SequenceCall | None:
        """Return the call without padding, its positions counted from the first token.

        Its queries are those of the tokens begin … end−1, up to the last one for None; where it has
        no such query, None is returned. The first of its keys is `visibility.first_key`.
        """
        visibility = self.visibility
        start, stop = visibility.span
        stop = stop if end is None else min(stop, start + end)
        first, last = max(visibility.position, start + begin), min(visibility.end, stop)
        if last <= first:
            return None
        low = max(0, start - visibility.first_key)
        high = min(visibility.mask.keys, stop - visibility.first_key)
        dropped = visibility.first_key + low - start  # tokens that the cache has dropped
        # Chunks are counted from the first token.
        is_counted = visibility.mask.chunk is not None and dropped > 0
        last_keys = visibility.mask.last_keys
        if last_keys is not None:
            last_keys = (last_keys[:, low:high] - low).clamp_max(high - low - 1)
        mask = replace(
            visibility.mask, queries=last - first, keys=high - low,
            query_offset=first - start - dropped,
            key_starts=torch.tensor([-dropped]) if is_counted else None, key_lengths=None,
            last_keys=last_keys,
        )  # fmt: skip
        tokens = self.part(first - visibility.position, last - visibility.position)
        own = Visibility(mask, first_key=dropped)
        return replace(tokens, key=self.key[:, :, low:high], visibility=own)
