"""One attention call as tokens see it: its padding left out, positions from the first token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.attention.visibility import Visibility


@dataclass(frozen=True)
class TokenCall:
    """One attention call without its padding.

    Keys and queries are tokens, the first of each `visibility.first_key` and `visibility.position`.
    """

    query: Tensor
    key: Tensor
    lse: Tensor
    visibility: Visibility
    score: dict[str, Any]
    entropy: Tensor | None

    @property
    def rows(self) -> tuple[int, int]:
        """First query and end."""
        return self.visibility.position, self.visibility.end

    def part(self, start: int, stop: int) -> TokenCall:
        """Return the queries start … stop−1, counted from the first."""
        query, lse = (part[:, :, start:stop] for part in (self.query, self.lse))
        return replace(self, query=query, lse=lse, visibility=self.visibility.part(start, stop))

    @property
    def where(self) -> dict[str, Any]:
        """The arguments of an operation on these queries and keys."""
        return self.score | self.visibility.arguments()


def tokens_of(call: TokenCall, begin: int, end: int | None) -> TokenCall | None:
    """Return the pass without padding, its positions counted from the first token.

    Its queries are those of the tokens begin … end−1, up to the last one for None; where it has no
    such query, None is returned.
    """
    visibility = call.visibility
    start, stop = visibility.span
    stop = stop if end is None else min(stop, start + end)
    first, last = max(visibility.position, start + begin), min(visibility.end, stop)
    if last <= first:
        return None
    low = max(0, start - visibility.first_key)
    high = min(visibility.mask.keys, stop - visibility.first_key)
    dropped = visibility.first_key + low - start  # tokens that the cache has dropped
    counted = (
        visibility.mask.chunk is not None and dropped > 0
    )  # chunks are counted from the first token
    rows = slice(first - visibility.position, last - visibility.position)
    return replace(
        call,
        query=call.query[:, :, rows],
        key=call.key[:, :, low:high],
        lse=call.lse[:, :, rows],
        entropy=None if call.entropy is None else call.entropy[:, :, rows],
        visibility=Visibility(
            replace(
                visibility.mask,
                queries=last - first,
                keys=high - low,
                query_offset=first - start - dropped,
                key_starts=torch.tensor([-dropped]) if counted else None,
                key_lengths=None,
            ),
            first_key=dropped,
        ),
    )
