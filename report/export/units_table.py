"""Statistics of words, messages or segments as a table: one value per line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.csv_table import CsvTable, Line

_COLUMNS = (
    "text", "role", "first position", "last position", "tokens", "statistic", "site", "layer",
    "head", "sum", "mean",
)  # fmt: skip


def units_table(trace: Trace, unit: str) -> CsvTable:
    """Return the table of one kind of unit; entropies of heads are their mean over the heads.

    Raises `UsageError` where the trace has no such units.
    """
    return CsvTable((unit, *_COLUMNS), _lines(trace.by(unit), unit))


def _lines(dataset: Any, unit: str) -> Iterator[Line]:
    names = [str(name).removesuffix("_sum") for name in dataset if str(name).endswith("_sum")]
    texts = [str(text) for text in dataset["text"].values]
    own = [str(value) for value in dataset[unit].values]
    places = [dataset[name].values for name in ("role", "start", "stop", "tokens")]
    statistics = [(name, f"{name}_sum", f"{name}_mean") for name in names]
    if "answer_attention" in dataset:
        statistics.append(("answer_attention", "", "answer_attention"))
    for name, of_sums, of_means in statistics:
        means = _over_heads(dataset[of_means])
        sums = _over_heads(dataset[of_sums]) if of_sums else None
        is_of_heads = any("head" in str(dim) for dim in dataset[of_means].dims)
        for at in np.ndindex(means.shape[:-1]):
            labels = dict(zip(means.dims, at, strict=False))
            site = str(dataset["site"].values[labels["site"]]) if "site" in labels else None
            layer = int(dataset["layer"].values[labels["layer"]]) if "layer" in labels else None
            head = "mean" if is_of_heads else None
            row = means.values[at]
            total = None if sums is None else sums.values[at]
            for i, value in enumerate(row):
                role, start, stop, tokens = (values[i] for values in places)
                yield (
                    own[i], texts[i], str(role), int(start), int(stop) - 1, int(tokens), name,
                    site, layer, head, None if total is None else total[i], value,
                )  # fmt: skip


def _over_heads(values: Any) -> Any:
    """Return the mean over the heads that have a value."""
    axes = [dim for dim in values.dims if "head" in str(dim)]
    return values.mean(axes, skipna=True) if axes else values
