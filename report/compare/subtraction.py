"""B − A of two traces on the columns of their comparison, as the variables of a trace."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import xarray as xr
from xarray.core import indexing

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import COMPARISON
from attentropy.engine.trace.text import text_array
from attentropy.report import planes
from attentropy.report.compare.columns import OnColumns, on_columns
from attentropy.report.compare.common import contents_words, lens_sites, number_texts, site_entry

Variables = dict[str, Any]  # by name, what xarray takes: dimensions and values


class Aligned(Protocol):
    """What is subtracted: two traces, and the position of each at every column, −1 for none."""

    at_a: np.ndarray
    at_b: np.ndarray
    kind: np.ndarray

    @property
    def traces(self) -> tuple[Trace, Trace]:
        """A and B."""

    @property
    def heads_match(self) -> bool:
        """Whether the heads of the two are the same."""

    def of_side(self, name: str, side: int) -> xr.DataArray:
        """Return a statistic of one side on the columns."""


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return B − A; NaN where a side has no value, and of two infinities."""
    with np.errstate(invalid="ignore"):
        change: np.ndarray = b - a
    return change


def subtracted(difference: Aligned) -> xr.Dataset:
    """Return the variables of both sides as differences, on the columns."""
    a, b = difference.traces

    def merged(name: str) -> np.ndarray:
        """Return A's values where it has a token, else B's."""
        of_a, of_b = (
            a[name][np.maximum(difference.at_a, 0)],
            b[name][np.maximum(difference.at_b, 0)],
        )
        values: np.ndarray = np.where(difference.at_a >= 0, of_a, of_b)
        return values

    text = np.dtypes.StringDType()
    coordinates: Variables = {
        "layer": ("layer", a["layer"]),
        "position": ("position", np.arange(difference.kind.size, dtype=np.int32)),
        "token_ids": ("position", merged("token_ids")),
        "token_text": ("position", merged("token_text").astype(text)),
        "role": ("position", merged("role").astype(text)),
    }
    coordinates |= {"call": ("layer", a["call"])} if "call" in a else {}
    variables: Variables = {}
    if "entropy" in a and "entropy" in b:
        variables, own_coordinates = _attention(difference)
        coordinates |= own_coordinates
    site = next((site for site in lens_sites(a) if site in lens_sites(b)), None)
    if site is not None:
        lens, own_coordinates = _lens(difference, site)
        variables, coordinates = variables | lens, coordinates | own_coordinates
    if not variables:
        contents = " and ".join(
            f"{side} has {contents_words(trace)}" for side, trace in (("A", a), ("B", b))
        )
        raise UsageError(f"A and B have neither lens nor attention in common: {contents}")
    return xr.Dataset(variables, coordinates, {"format": COMPARISON.name})


def _attention(difference: Aligned) -> tuple[Variables, Variables]:
    """Return B − A of every head, as variables and coordinates.

    Where the heads of the two are not the same, the only head is the mean over heads.
    """
    a, b = difference.traces
    dims = ("layer", "head", "query")
    if not difference.heads_match:
        means = mean_over_heads(difference)
        variables: Variables = {"entropy": (dims, subtract(*means)[:, None])}
        return variables, {"head": ("head", np.array([-1], np.int32)), **_notes(a, b)}
    lazy = OnColumns(
        [t.dataset["entropy"] for t in difference.traces],
        [difference.at_a, difference.at_b],
        subtract,
    )
    variables = {"entropy": (dims, indexing.LazilyIndexedArray(lazy))}
    if "top_key" in a and "top_key" in b:
        variables["top_key"] = (dims, difference.of_side("top_key", 0).variable._data)
    coordinates: Variables = {"head": ("head", a["head"]), **_notes(a, b)}
    if "heads" in a and "heads" in b:
        coordinates["heads"] = ("layer", np.minimum(a["heads"], b["heads"]))
    return variables, coordinates


def _notes(a: Trace, b: Trace) -> Variables:
    """Return why layers have no attention in A, in B or in both, as a coordinate."""
    sides = [
        [str(note) for note in trace["attention_note"]] if "attention_note" in trace else None
        for trace in (a, b)
    ]
    if sides == [None, None]:
        return {}
    empty = [""] * a.dataset.sizes["layer"]
    pairs = zip(sides[0] or empty, sides[1] or empty, strict=True)
    notes = [own if own == other else _of_sides(own, other) for own, other in pairs]
    return {"attention_note": ("layer", text_array(notes))}


def _of_sides(*notes: str) -> str:
    return "; ".join(f"{side}: {note}" for side, note in zip("AB", notes, strict=True) if note)


def mean_over_heads(difference: Aligned) -> np.ndarray:
    """Return both sides' attention entropy, the mean over heads, [2, layer, columns]."""
    sides = []
    for trace, at in zip(difference.traces, (difference.at_a, difference.at_b), strict=True):
        attention = planes.read_attention(trace)
        assert attention is not None  # the caller knows that there is attention
        sides.append(on_columns(attention.mean, at))
    return np.stack(sides)


def _lens(difference: Aligned, site: str) -> tuple[Variables, Variables]:
    """Return B − A of the lens's entropy, and each side's top token with its log-probability.

    The tokens of both sides get new numbers, by their texts.
    """
    layers, n = difference.traces[0].dataset.sizes["layer"], difference.kind.size
    values = np.empty((2, layers, n), np.float32)
    ids, logprobs = (
        np.full((layers, n, 2), -1, np.int32),
        np.full((layers, n, 2), np.nan, np.float32),
    )
    numbers: dict[str, int] = {}
    for side, (trace, at) in enumerate(
        zip(difference.traces, (difference.at_a, difference.at_b), strict=True)
    ):
        entry = site_entry(trace, site)
        values[side] = on_columns(trace.dataset["lens_entropy"][entry].values, at)
        if "lens_top_ids" in trace:
            own = number_texts(trace, trace.dataset["lens_top_ids"][entry, ..., 0].values, numbers)
            ids[..., side] = on_columns(own, at)
        if "lens_top_logprobs" in trace:
            top = trace.dataset["lens_top_logprobs"][entry, ..., 0].values
            logprobs[..., side] = on_columns(top, at)
    lens, text = ("site", "layer", "position"), np.dtypes.StringDType()
    variables: Variables = {
        "lens_entropy": (lens, subtract(*values)[None]),
        "lens_top_ids": ((*lens, "k"), ids[None]),
        "lens_top_logprobs": ((*lens, "k"), logprobs[None]),
    }
    return variables, {
        "site": ("site", np.array([site], text)),
        "vocabulary_ids": ("vocabulary", np.arange(len(numbers), dtype=np.int32)),
        "vocabulary_text": ("vocabulary", np.array(list(numbers), text)),
    }
