"""Predict how many bytes a trace takes on a disk, once compressed."""

from __future__ import annotations

import math
from typing import NotRequired, TypedDict, cast

from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.lens.budget import REHEARSED_POSITIONS
from attentropy.engine.maps.windows import map_bytes
from attentropy.engine.trace.context import bin_starts
from attentropy.engine.trace.statistics import is_key

_HEAD_SCORES, _ANSWER_SCORES = 6, 5

# The share that zstd leaves of the values, as traces of the embedded model and of random ones show.
_FLOATS, _IDS, _COUNTS, _SQUARE, _PICTURES = 0.88, 0.4, 0.6, 0.5, 0.5
_TOKEN = 20  # bytes of a token's id, text, role and place
_FILE = 700  # bytes of an array's description


class DiskBytes(TypedDict):
    """Bytes of a trace's parts after compression; a part that is not recorded is absent.

    without_sinks_bytes: as if every layer had sink keys.
    """

    statistics_bytes: int
    windows_bytes: int
    tokens_bytes: int
    map_bytes: NotRequired[int]
    thumbnails_bytes: NotRequired[int]
    scores_bytes: NotRequired[int]
    context_bytes: NotRequired[int]
    without_sinks_bytes: NotRequired[int]
    lens_bytes: NotRequired[int]
    all_bytes: int


def disk_bytes(size: ModelSize, run: RunSize) -> DiskBytes:
    """Return the bytes of a trace's parts after compression, and of all of it as "all_bytes".

    Zeros and repeats compress well, entropies hardly: the values decide, so this is within a
    quarter of what is then written, and no closer.
    """
    recording, n, layers = run.recording, run.length, size.layers
    rows = recording.rows(size, n)
    statistics = sum(value * (_IDS if is_key(name) else _FLOATS) for name, value in rows.items())
    windows = recording.windows(size, run.tokens) * recording.itemsize / 4 * _SQUARE
    parts = {
        "statistics_bytes": round(statistics + 4 * layers * n * _COUNTS),
        "windows_bytes": round(windows),
        "tokens_bytes": n * _TOKEN,
    }
    if recording.tile is not None or recording.received:
        parts["map_bytes"] = round(_maps(size, run))
    if recording.thumbnails is not None:
        pictures = recording.thumbnail_values(size, run.tokens)
        parts["thumbnails_bytes"] = round(pictures * _PICTURES)
    if recording.scores:
        scores = _HEAD_SCORES + (_ANSWER_SCORES if run.answer else 0)
        parts["scores_bytes"] = 4 * layers * size.heads * scores
    if recording.context:
        bins = len(bin_starts(run.tokens))
        parts["context_bytes"] = round(4 * layers * (size.heads + 1) * bins * _FLOATS)
    if recording.without_sinks:
        others = recording.rows(size, n, recording.without_sinks)
        total = sum(value * (_IDS if is_key(name) else _FLOATS) for name, value in others.items())
        parts["without_sinks_bytes"] = round(total)
    if run.positions:
        parts["lens_bytes"] = round(_lens(size, run))
    files = 40 + layers * (len(recording.stats) + 8) * math.ceil(n / (run.chunk or n)) / 8
    everything = sum(parts.values()) + round(files * _FILE)
    return cast(DiskBytes, parts | {"all_bytes": everything})


def _maps(size: ModelSize, run: RunSize) -> float:
    """Return the bytes of the token × token map, and of what each token receives."""
    recording, total = run.recording, 0.0
    if recording.tile is not None:
        heads = size.heads if recording.map_per_head else 1
        values = map_bytes(recording.tile, run.tokens, size.layers, heads)
        total += values * recording.itemsize / 4 * _SQUARE
    if recording.received:
        values = size.layers * run.tokens
        values += recording.answer_weights(size, run.tokens, run.answer)
        total += 4 * values * _FLOATS
    return total


def _lens(size: ModelSize, run: RunSize) -> float:
    """Return the bytes of what the lens reads, and of the rehearsal."""
    recording = run.recording
    cells = run.sites * size.layers * (run.positions + run.answer_positions)
    floats, ids = 3 + recording.top_k, 1 + recording.top_k
    rehearsed = run.sites * size.layers * min(run.positions, REHEARSED_POSITIONS)
    total = cells * (floats * recording.itemsize * _FLOATS + 4 * ids * _IDS)
    return total + rehearsed * (recording.itemsize * _FLOATS + 8 * _IDS)
