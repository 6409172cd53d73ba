"""Two traces and their alignment in one store: what a saved comparison holds.

    NAME.zarr/
      match_a, match_b     the positions of A and of B that are one token
      a/, b/               the two traces, complete

The alignment is stored because it cannot always be computed again: of a redacted comparison only
marks are stored in place of the texts that were aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import store
from attentropy.engine.trace.checks.current import read_current
from attentropy.engine.trace.dataset import Trace, checked_trace
from attentropy.engine.trace.readable import stored_dataset
from attentropy.engine.trace.schema import COMPARISON
from attentropy.engine.trace.types import Array

_MOST_LETTERS = 1000  # of the name of a side
_ALIGNED_BY = ("ids", "texts")


@dataclass(frozen=True)
class Alignment:
    """Which tokens of two traces are the same: positions `of_a` and `of_b`, [n] each, ascending.

    `by_text`: they were matched by their texts, because ids mean other texts in each.
    """

    of_a: Array
    of_b: Array
    by_text: bool


@dataclass(frozen=True)
class TracePair:
    """Two traces with their names and their alignment."""

    a: Trace
    b: Trace
    names: tuple[str, str]
    alignment: Alignment


def write_pair(pair: TracePair, path: Path, *, force: bool = False) -> Path:
    """Write the pair as a folder (`.zarr`) or one file (`.zarr.zip`), complete or not at all.

    Raises `UsageError` as `Trace.save` does.
    """
    at = pair.alignment
    root = xr.Dataset(
        {
            "match_a": ("match", np.asarray(at.of_a, np.int32)),
            "match_b": ("match", np.asarray(at.of_b, np.int32)),
        },
        attrs={
            "format": COMPARISON.name,
            "format_version": COMPARISON.version,
            "names": list(pair.names),
            "aligned_by": _ALIGNED_BY[at.by_text],
        },
    )
    sides = {"a": stored_dataset(pair.a), "b": stored_dataset(pair.b)}
    return store.write_datasets({"": root, **sides}, path, force=force)


def read_pair(path: Path, *, max_cells: int | None = None) -> TracePair:
    """Return the pair at `path`; values of the traces are read when they are used.

    max_cells: the work that it may make, see `Trace.open`. Raises `TraceError` in one line, as
    `Trace.open` does for a trace.
    """
    return read_current(path, lambda: _read_once(path, max_cells))


def _read_once(path: Path, max_cells: int | None) -> TracePair:
    datasets = store.read_datasets(path, COMPARISON, max_cells=max_cells)
    root = datasets[""]
    names, aligned_by = root.attrs.get("names"), root.attrs.get("aligned_by")
    if not isinstance(names, list) or len(names) != 2 or not all(map(_is_name, names)):
        raise TraceError(f"{path.name}: its attribute 'names' is invalid")
    if aligned_by not in _ALIGNED_BY:
        raise TraceError(f"{path.name}: its attribute 'aligned_by' must be 'ids' or 'texts'")
    a, b = (checked_trace(datasets[side], f"{path.name}/{side}") for side in ("a", "b"))
    alignment = _read_alignment(
        root, path.name, aligned_by == "texts", len(a.tokens), len(b.tokens)
    )
    return TracePair(a, b, (names[0], names[1]), alignment)


def _read_alignment(
    root: xr.Dataset, name: str, by_text: bool, count_a: int, count_b: int
) -> Alignment:
    """Return the alignment of two prompts of so many tokens each."""
    matches = []
    for array, count in (("match_a", count_a), ("match_b", count_b)):
        if array not in root or root[array].dtype.kind not in "iu":
            raise TraceError(f"{name}: {array!r} of the comparison is missing or cannot be read")
        if root[array].size > min(count_a, count_b):
            raise TraceError(f"{name}: the values of {array} do not fit the traces")
        values = root[array].values.astype(np.int64)
        if values.size and not (
            values[0] >= 0 and values[-1] < count and (np.diff(values) > 0).all()
        ):
            raise TraceError(f"{name}: the values of {array} do not fit the traces")
        matches.append(values)
    return Alignment(matches[0], matches[1], by_text)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_LETTERS
