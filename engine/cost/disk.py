"""What a run keeps, and what that takes on a disk once compressed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attentropy.engine.lens.budget import REHEARSED_POSITIONS
from attentropy.engine.maps.windows import map_bytes

if TYPE_CHECKING:
    from attentropy.engine.cost.size import ModelSize, RunSize

_HEAD_SCORES = 6

# What zstd leaves of the values, as traces of the embedded model and of random ones show.
_FLOATS, _IDS, _COUNTS, _SQUARE = 0.88, 0.4, 0.6, 0.5
_TOKEN = 20  # bytes a token's id, text, role and place take
_FILE = 700  # what an array's description takes


def on_disk(size: ModelSize, run: RunSize) -> dict[str, int]:
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
