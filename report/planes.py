"""Planes of a trace, [rows, positions], and tiles that summarise several positions per column.

Attention is read layer by layer, so that no more than two layers of all heads are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.focus import focus

# The largest width of a picture; the canvas of a browser cannot be wider than 16,384 pixels.
COLUMNS = 2048


@dataclass(frozen=True)
class Tiles:
    """Mean, minimum and maximum of `step` neighbouring positions, [rows, ⌈N/step⌉].

    A tile is NaN where none of its positions has a value.
    """

    step: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tile_size(n: int, columns: int = COLUMNS) -> int:
    """Return the smallest power of two that divides n positions into at most `columns` tiles."""
    return 1 << max(0, (-(-n // columns) - 1).bit_length())


def make_tiles(values: np.ndarray, size: int) -> Tiles:
    """Return tiles of `size` positions of values [rows, N]; the last tile may cover fewer.

    Missing values (NaN) are ignored.
    """
    summaries = [_summarize(row, size) for row in values]
    mean, low, high = (np.array(rows, np.float32) for rows in zip(*summaries, strict=True))
    return Tiles(size, mean, low, high)


def _summarize(row: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.arange(0, row.size, size)
    finite = np.isfinite(row)
    count = np.add.reduceat(finite, starts, dtype=np.int64)
    total = np.add.reduceat(np.where(finite, row, 0.0), starts, dtype=np.float64)
    has_value = count > 0
    mean = np.where(has_value, total / np.maximum(count, 1), np.nan)
    low = np.minimum.reduceat(np.where(finite, row, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, row, -np.inf), starts)
    return mean, np.where(has_value, low, np.nan), np.where(has_value, high, np.nan)


def read_layers(trace: Trace, name: str) -> Iterator[np.ndarray]:
    """Yield the values of an attention statistic, one layer after the other; see `layer`."""
    for entry in range(trace.dataset.sizes["layer"]):
        yield read_layer(trace, name, entry)


def read_layer(trace: Trace, name: str, entry: int, heads: int | slice = slice(None)) -> np.ndarray:
    """Return one layer of an attention statistic, or of "normalized_entropy", [head, query].

    Only `heads` are read from the trace; the result is [query] where that is a single head.
    """
    normalized = name == "normalized_entropy"
    values: np.ndarray = trace.dataset["entropy" if normalized else name][entry, heads].values
    values = values.astype(np.float32, copy=False)
    return values * _inverse_ceiling(trace, entry) if normalized else values


def read_ranges(trace: Trace, name: str, ranges: list[tuple[int, int]]) -> np.ndarray:
    """Return an attention statistic at `ranges` of positions only, [layer, head, position]."""
    variable = trace.dataset[name]
    pieces = [variable[..., start:stop].values for start, stop in ranges]
    values: np.ndarray = np.concatenate(pieces, -1) if pieces else variable[..., :0].values
    return values


@dataclass(frozen=True)
class AttentionPlanes:
    """Attention entropy of all layers, as means over heads, over queries and over tiles.

    mean: over heads, [layer, N]. heads: [layer, head, tiles], where a tile is the mean of `step`
    queries. entropy_sum, entropy_count: per head [layer, head], the sum of entropy over the
    prompt's queries that have one, and the number of these queries. normalized_sum,
    normalized_count: the same of normalized_entropy, which only queries that see two
    keys or more have. focus_sum, focus_count: the same of queries with `FOCUS_KEYS` keys or more
    besides the sink keys, which are left out where the trace has the entropies without them
    (`leaves_sinks_out`).
    """

    mean: np.ndarray
    heads: np.ndarray
    step: int
    entropy_sum: np.ndarray
    entropy_count: np.ndarray
    normalized_sum: np.ndarray
    normalized_count: np.ndarray
    focus_sum: np.ndarray
    focus_count: np.ndarray
    leaves_sinks_out: bool


def read_attention(trace: Trace, columns: int = 512) -> AttentionPlanes | None:
    """Read attention entropy once, with at most `columns` tiles per head.

    The mean is over the heads that have a value. Return None where the trace has no entropy.
    """
    if "entropy" not in trace:
        return None
    count, heads, n = trace.dataset["entropy"].shape
    size = tile_size(n, columns)
    mean = np.empty((count, n), np.float32)
    head_tiles = np.empty((count, heads, -(-n // size)), np.float32)
    total, normalized, focused = np.zeros((3, count, heads))
    entropy_count, normalized_count, focus_count = np.zeros((3, count, heads), np.int64)
    starts, prompt = np.arange(0, n, size), trace.prompt_tokens

    def read(layer: int) -> None:
        values = trace.dataset["entropy"][layer].values
        mean[layer], head_tiles[layer] = _average(values, starts)
        values = values[:, :prompt]
        finite = np.isfinite(values)
        entropy = np.where(finite, values, 0.0)
        total[layer], entropy_count[layer] = entropy.sum(-1, dtype=np.float64), finite.sum(-1)
        if "visible" in trace:
            factors = _inverse_ceiling(trace, layer)[:prompt]
            normalized[layer] = entropy @ np.nan_to_num(factors)
            normalized_count[layer] = (finite & np.isfinite(factors)).sum(-1)
            focused[layer], focus_count[layer] = _focus(trace, layer, values)

    # One layer is read from the disk and decompressed while another one is summed up.
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(read, range(count)):
            pass
    return AttentionPlanes(
        mean, head_tiles, size, total, entropy_count, normalized, normalized_count, focused,
        focus_count, _leaves_sinks_out(trace),
    )  # fmt: skip


def _leaves_sinks_out(trace: Trace) -> bool:
    """Return whether the trace has entropies without sink keys; an unfinished run names none."""
    return "entropy_without_sinks" in trace and "sink_keys" in trace


def _focus(trace: Trace, layer: int, entropy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `focus` of a layer over the prompt's queries; entropy [head, query], of all keys."""
    prompt = entropy.shape[-1]
    keys = trace["visible"][layer, :prompt]
    if not _leaves_sinks_out(trace):
        return focus(entropy, keys)
    own = trace.dataset["entropy_without_sinks"][layer].values[:, :prompt]
    return focus(entropy, keys, own, trace["sink_keys"][layer, :prompt] > 0)


@dataclass(frozen=True)
class Averages:
    """One statistic of attention as means over heads and over tiles.

    mean: over heads, [layer, N]. heads: [layer, head, tiles], where a tile is the mean of `step`
    queries.
    """

    mean: np.ndarray
    heads: np.ndarray
    step: int


def read_averages(trace: Trace, name: str, columns: int = 512) -> Averages:
    """Read a statistic of attention, or "normalized_entropy", once; see `attention`."""
    count, heads, n = trace.dataset["entropy" if name == "normalized_entropy" else name].shape
    size = tile_size(n, columns)
    mean = np.empty((count, n), np.float32)
    head_tiles = np.empty((count, heads, -(-n // size)), np.float32)
    starts = np.arange(0, n, size)
    for entry, values in enumerate(read_layers(trace, name)):
        mean[entry], head_tiles[entry] = _average(values, starts)
    return Averages(mean, head_tiles, size)


def _inverse_ceiling(trace: Trace, layer: int) -> np.ndarray:
    """Return 1 / ln(visible) for the queries of a layer, [N]; NaN below two visible keys."""
    visible_keys = trace["visible"][layer]
    ceiling = np.log(np.maximum(visible_keys, 2).astype(np.float64))
    return np.where(visible_keys >= 2, 1 / ceiling, np.nan)


def _average(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of values [head, N] over heads, [N], and over tiles of queries, [head, tiles].

    Missing values (NaN) are ignored.
    """
    finite = np.isfinite(values)
    numbers = values.astype(np.float64)
    numbers[~finite] = 0.0
    head_count = finite.sum(0)
    mean = numbers.sum(0) / np.maximum(head_count, 1)
    total = np.add.reduceat(numbers, starts, axis=1)
    query_count = np.add.reduceat(finite, starts, axis=1, dtype=np.int32)
    tile_means = np.where(query_count > 0, total / np.maximum(query_count, 1), np.nan)
    return np.where(head_count > 0, mean, np.nan), tile_means
