"""What a run keeps, and what that takes on a disk once compressed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attentropy.engine.attention.kept import NARROW
from attentropy.engine.lens.budget import REHEARSED_POSITIONS
from attentropy.engine.maps.windows import Rectangle, Tile, automatic, map_bytes

if TYPE_CHECKING:
    from attentropy.engine.cost.memory import ModelSize, Run

# Of attention where nobody has said: what `record` computes, and what `extract` keeps.
DEFAULT_STATS = ("entropy", "max_prob", "distance", "sink_mass", "top_key")
KEPT_STATS = (*DEFAULT_STATS, "lse")
_HEAD_SCORES = 6

# What zstd leaves of the values, as traces of the embedded model and of random ones show.
_FLOATS, _IDS, _COUNTS, _SQUARE = 0.88, 0.4, 0.6, 0.5
_TOKEN = 20  # bytes a token's id, text, role and place take
_FILE = 700  # what an array's description takes


@dataclass(frozen=True)
class Kept:
    """What stays of attention: `layers` and `heads` are how many, None for all; heads 1 may be
    their mean. `tile` of the token × token map, None without one; `rectangles` of exact weights,
    the automatic one among them (none named: the automatic one). `itemsize`: bytes of what may be
    stored as float16."""

    stats: tuple[str, ...] = KEPT_STATS
    layers: int | None = None
    heads: int | None = None
    tile: Tile | None = None
    map_per_head: bool = False
    received: bool = False
    scores: bool = False
    rectangles: tuple[Rectangle, ...] = ()
    itemsize: int = 4
    top_k: int = 5

    def rows(self, size: ModelSize, tokens: int) -> dict[str, int]:
        """Bytes of each statistic of `tokens` queries, uncompressed."""
        layers = size.layers if self.layers is None else self.layers
        heads = size.heads if self.heads is None else self.heads
        return {
            name: layers * heads * tokens * (self.itemsize if name in NARROW else 4)
            for name in self.stats
        }

    def windows(self, size: ModelSize, tokens: int) -> int:
        """Bytes of the exact weights, uncompressed, four each."""
        unasked = (automatic(tokens, size.layers, size.heads),)
        return sum(
            4 * size.layers * (size.heads if one.per_head else 1 + one.shares)
            * (one.rows[1] - one.rows[0]) * (one.keys[1] - one.keys[0])
            for one in self.rectangles or unasked
        )  # fmt: skip


def on_disk(size: ModelSize, run: Run) -> dict[str, int]:
    """Bytes of a trace's parts after compression, and of all of it as "all_bytes".

    Zeros and repeats compress well, entropies hardly: what the values are decides, so this is
    within a quarter of what is then written, and not closer.
    """
    kept, n, layers = run.kept, run.tokens, size.layers
    narrow = kept.itemsize
    rows = kept.rows(size, n)
    found: dict[str, float] = {
        "statistics_bytes": sum(
            value * (_IDS if name == "top_key" else _FLOATS) for name, value in rows.items()
        )
        + 4 * layers * n * _COUNTS,
        "windows_bytes": kept.windows(size, n) * narrow / 4 * _SQUARE,
        "tokens_bytes": float(n * _TOKEN),
    }
    if kept.tile is not None:
        heads = size.heads if kept.map_per_head else 1
        found["map_bytes"] = map_bytes(kept.tile, n, layers, heads) * narrow / 4 * _SQUARE
    if kept.received:
        found["map_bytes"] = found.get("map_bytes", 0.0) + 4 * layers * n * _FLOATS
    if kept.scores:
        found["scores_bytes"] = 4.0 * layers * size.heads * _HEAD_SCORES
    if run.positions:
        cells = run.sites * layers * run.positions
        floats, ids = 3 + kept.top_k, 1 + kept.top_k
        found["lens_bytes"] = cells * (floats * narrow * _FLOATS + 4 * ids * _IDS)
        rehearsed = run.sites * layers * min(run.positions, REHEARSED_POSITIONS)
        found["lens_bytes"] += rehearsed * (narrow * _FLOATS + 8 * _IDS)
    files = 40 + layers * (len(kept.stats) + 8) * math.ceil(n / (run.chunk or n)) / 8
    whole = {name: round(value) for name, value in found.items()}
    return whole | {"all_bytes": sum(whole.values()) + round(files * _FILE)}
