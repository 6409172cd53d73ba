"""The scores by which a head is called a sink, local, diffuse …, each with its threshold.

Nothing here imports torch: the report reads the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A pattern means something only where a prompt (or what a window shows of it) is this many times
# its size: a uniform row reaches 0.34 as `sink` at 8 tokens, and every head is local under 64.
TIMES_THE_PATTERN = 4

LOCAL_KEYS = 64


@dataclass(frozen=True)
class HeadScore:
    """One score of definitions.md, "Heads".

    `threshold`: above it a head is called so; None where there is no agreed one. `size`: tokens of
    the pattern, which is measured where some query sees `TIMES_THE_PATTERN` times as many keys.
    `source`: where score and threshold come from.
    """

    definition: str
    threshold: float | None
    size: int
    source: str

    @property
    def keys_needed(self) -> int:
        """The keys that some query has to see for the score to be measured."""
        return TIMES_THE_PATTERN * self.size


SCORES: Mapping[str, HeadScore] = {
    "sink": HeadScore(
        # Over the queries that see it, as in the source: a layer whose window has left the first
        # key behind is judged by those that had it before them.
        "mean attention received by the first key, over the queries that see it",
        0.3, 4, "arXiv 2410.10781; four sink tokens: arXiv 2309.17453",
    ),
    "local": HeadScore(
        f"mean mass on the last {LOCAL_KEYS} keys", 0.9, LOCAL_KEYS,
        "the project's definitions",
    ),
    "previous": HeadScore(
        "mean weight of a query on the token before it", None, 2,
        "arXiv 2209.11895",
    ),
    "induction": HeadScore(
        "mean weight on the key after the previous occurrence of the same token, on repeated "
        "random tokens",
        None, 2, "arXiv 2209.11895",
    ),
    "diffuse": HeadScore("mean normalized entropy", 0.9, 1, "the project's definitions"),
}  # fmt: skip
