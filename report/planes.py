"""Planes of a trace, [rows, positions], and what stands for many positions in one column of them.

Attention is read layer by layer, so that no more than two layers of all heads are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace

# A picture is no wider than this; a browser's canvas ends at 16,384 pixels.
COLUMNS = 2048


@dataclass(frozen=True)
class Tiles:
    """Mean, least and largest of `step` neighbouring positions [rows, ⌈N/step⌉]; NaN where none of
    them has a value."""

    step: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def step(n: int, columns: int = COLUMNS) -> int:
    """The smallest power of two that makes at most `columns` tiles of n positions."""
    return 1 << max(0, (-(-n // columns) - 1).bit_length())


def tiles(values: np.ndarray, size: int) -> Tiles:
    """Tiles of `size` positions of values [rows, N]; the last may cover fewer. Missing values
    (NaN) take no part."""
    parts = [_tiled(row, size) for row in values]
    mean, low, high = (np.array(rows, np.float32) for rows in zip(*parts, strict=True))
    return Tiles(size, mean, low, high)


def _tiled(row: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.arange(0, row.size, size)
    there = np.isfinite(row)
    count = np.add.reduceat(there, starts, dtype=np.int64)
    total = np.add.reduceat(np.where(there, row, 0.0), starts, dtype=np.float64)
    some = count > 0
    mean = np.where(some, total / np.maximum(count, 1), np.nan)
    low = np.minimum.reduceat(np.where(there, row, np.inf), starts)
    high = np.maximum.reduceat(np.where(there, row, -np.inf), starts)
    return mean, np.where(some, low, np.nan), np.where(some, high, np.nan)


def layers(trace: Trace, name: str) -> Iterator[np.ndarray]:
    """The values of an attention statistic, one layer after the other; see `layer`."""
    for entry in range(trace.dataset.sizes["layer"]):
        yield layer(trace, name, entry)


def layer(trace: Trace, name: str, entry: int, heads: int | slice = slice(None)) -> np.ndarray:
    """One layer of an attention statistic, or of "normalized_entropy", [head, query]; of one head
    [query]. No other head is read than `heads`."""
    normalized = name == "normalized_entropy"
    values: np.ndarray = trace.dataset["entropy" if normalized else name][entry, heads].values
    values = values.astype(np.float32, copy=False)
    return values * _per_ceiling(trace, entry) if normalized else values


def spans(trace: Trace, name: str, ranges: list[tuple[int, int]]) -> np.ndarray:
    """An attention statistic at ranges of positions only, [layer, head, position]."""
    variable = trace.dataset[name]
    parts = [variable[..., start:stop].values for start, stop in ranges]
    return np.concatenate(parts, -1) if parts else variable[..., :0].values


@dataclass(frozen=True)
class Attention:
    """Attention entropy: `mean` over heads [layer, N]; `heads` [layer, head, tiles], each tile the
    mean of `step` queries; of each head [layer, head] sums over queries and how many these are:
    `total` and `heard` of those that have an entropy, `normalized` and `counted` of
    normalized_entropy, which the queries that see two keys or more have."""

    mean: np.ndarray
    heads: np.ndarray
    step: int
    total: np.ndarray
    heard: np.ndarray
    normalized: np.ndarray
    counted: np.ndarray


def attention(trace: Trace, columns: int = 512) -> Attention | None:
    """One reading of attention entropy, every head in at most `columns` tiles; None where there is
    none. The mean is over the heads that have a value."""
    if "entropy" not in trace:
        return None
    count, heads, n = trace.dataset["entropy"].shape
    size = step(n, columns)
    mean = np.empty((count, n), np.float32)
    tiled = np.empty((count, heads, -(-n // size)), np.float32)
    total, normalized = np.zeros((2, count, heads))
    heard, counted = np.zeros((2, count, heads), np.int64)
    starts = np.arange(0, n, size)

    def read(layer: int) -> None:
        values = trace.dataset["entropy"][layer].values
        mean[layer], tiled[layer] = _averaged(values, starts)
        there = np.isfinite(values)
        known = np.where(there, values, 0.0)
        total[layer], heard[layer] = known.sum(-1, dtype=np.float64), there.sum(-1)
        if "visible" in trace:
            shares = _per_ceiling(trace, layer)
            normalized[layer] = known @ np.nan_to_num(shares)
            counted[layer] = (there & np.isfinite(shares)).sum(-1)

    # One layer is read from the disk and decompressed while another is summed up.
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(read, range(count)):
            pass
    return Attention(mean, tiled, size, total, heard, normalized, counted)


@dataclass(frozen=True)
class Averages:
    """A statistic's `mean` over heads [layer, N]; `heads` [layer, head, tiles], each tile the mean
    of `step` queries."""

    mean: np.ndarray
    heads: np.ndarray
    step: int


def averages(trace: Trace, name: str, columns: int = 512) -> Averages:
    """One reading of a statistic of attention, or of "normalized_entropy"; see `attention`."""
    count, heads, n = trace.dataset["entropy" if name == "normalized_entropy" else name].shape
    size = step(n, columns)
    mean = np.empty((count, n), np.float32)
    tiled = np.empty((count, heads, -(-n // size)), np.float32)
    starts = np.arange(0, n, size)
    for entry, values in enumerate(layers(trace, name)):
        mean[entry], tiled[entry] = _averaged(values, starts)
    return Averages(mean, tiled, size)


def _per_ceiling(trace: Trace, layer: int) -> np.ndarray:
    """1 / ln(visible) of a layer's queries [N]; NaN for fewer than two visible keys."""
    seen = trace["visible"][layer]
    ceiling = np.log(np.maximum(seen, 2).astype(np.float64))
    return np.where(seen >= 2, 1 / ceiling, np.nan)


def _averaged(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of [head, N] over the heads [N] and over tiles of queries [head, tiles], of those that
    have a value."""
    there = np.isfinite(values)
    known = values.astype(np.float64)
    known[~there] = 0.0
    heard = there.sum(0)
    mean = known.sum(0) / np.maximum(heard, 1)
    total = np.add.reduceat(known, starts, axis=1)
    some = np.add.reduceat(there, starts, axis=1, dtype=np.int32)
    tiled = np.where(some > 0, total / np.maximum(some, 1), np.nan)
    return np.where(heard > 0, mean, np.nan), tiled
