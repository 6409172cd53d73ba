"""Statistics of words, messages or segments as a table: one value per line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import head_index, layer_index
from attentropy.report.export.csv_table import Cell, CsvTable, Line

_COLUMNS = (
    "text", "role", "first position", "last position", "tokens", "statistic", "site", "layer",
    "head", "sum", "mean",
)  # fmt: skip


def units_table(
    trace: Trace, unit: str, layer: int | None = None, head: int | None = None
) -> CsvTable:
    """Return the table of one kind of unit.

    What heads have is the mean over them; of one `layer` there is every head instead, and of a
    `head` that one. Raises `UsageError` where the trace has no such units, layer or head.
    """
    entries = list(range(trace.dataset.sizes["layer"]))
    entries = entries if layer is None else [layer_index(trace, layer)]
    if head is not None:
        head_index(trace["head"] if "head" in trace else np.array([]), head)
    lines = _lines(trace.by(unit), unit, entries, head, has_every_head=layer is not None)
    return CsvTable((unit, *_COLUMNS), lines)


def _lines(
    dataset: Any, unit: str, layers: list[int], head: int | None, *, has_every_head: bool
) -> Iterator[Line]:
    texts = [str(text) for text in dataset["text"].values]
    own = [str(value) for value in dataset[unit].values]
    roles, *places = (dataset[name].values for name in ("role", "start", "stop", "tokens"))
    names = [str(name).removesuffix("_sum") for name in dataset if str(name).endswith("_sum")]
    statistics = [(name, f"{name}_sum", f"{name}_mean") for name in names]
    if "answer_attention" in dataset:  # a sum of means has no mean of its own
        statistics.append(("answer_attention", "answer_attention", ""))
    for name, of_sums, of_means in statistics:
        for labels, at in _rows(dataset[of_sums], layers, head, has_every_head=has_every_head):
            sums = _over_heads(dataset[of_sums][at].values)
            means = _over_heads(dataset[of_means][at].values) if of_means else [None] * len(sums)
            for i, (total, mean) in enumerate(zip(sums, means, strict=True)):
                start, stop, tokens = (int(values[i]) for values in places)
                yield (
                    own[i], texts[i], str(roles[i]), start, stop - 1, tokens, name, *labels, total,
                    mean,
                )  # fmt: skip


def _rows(
    values: Any, layers: list[int], head: int | None, *, has_every_head: bool
) -> Iterator[tuple[tuple[Cell, Cell, Cell], dict[str, Any]]]:
    """Yield site, layer and head of each row in words, and where its values are."""
    axis = next((str(dim) for dim in values.dims if "head" in str(dim)), None)
    heads: list[tuple[Cell, Any]] = [(None, None)]
    if axis is not None:
        numbers = [int(number) for number in values[axis].values]
        heads = [("mean", slice(None))]
        if head in numbers:
            heads = [(head, numbers.index(head))]
        elif has_every_head and head is None and numbers != [-1]:
            heads = [(number, i) for i, number in enumerate(numbers)]
    sites = [str(site) for site in values["site"].values] if "site" in values.dims else [None]
    for s, site in enumerate(sites):
        for entry in layers if "layer" in values.dims else [None]:
            for name, index in heads:
                at = {"site": s, "layer": entry, axis: index}
                layer = None if entry is None else int(values["layer"].values[entry])
                yield (site, layer, name), {str(d): at[d] for d in at if d in values.dims}


def _over_heads(values: np.ndarray) -> np.ndarray:
    """Return the mean of rows [head, unit] over the heads that have a value; one row as it is."""
    if values.ndim == 1:
        return values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # units without any value
        mean: np.ndarray = np.nanmean(values, 0)
    return mean
