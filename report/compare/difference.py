"""Two traces as one: B − A on the columns of both, wherever a token of the one is one of the other.

The columns are A's positions, with what only B has between them. A difference is a trace, so that
whatever draws a trace draws it: its entropies are differences in nats, NaN where a column belongs
to one side alone; of its two `lens_top_ids` the first is A's likeliest token and the second B's.
"""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import is_redacted, redacted_together
from attentropy.report import planes
from attentropy.report.compare.columns import (
    OnColumns,
    columns,
    matched,
    on_columns,
    same_vocabulary,
)

BOTH, ONLY_A, ONLY_B = 0, 1, 2


class Difference(Trace):
    """B − A. `kind` [columns] says of each column whether it is of BOTH, ONLY_A or ONLY_B;
    `at_a` and `at_b` [columns] which position of each side it is, -1 for none. `by_text`: aligned
    by the tokens' text, because the ids of the two mean different texts. `names`: what A and B are
    called. `redact`: of the texts, which are compared all the same, none is kept."""

    def __init__(
        self, a: Trace, b: Trace, names: tuple[str, str] = ("A", "B"), *, redact: bool = False
    ) -> None:
        _check_layers(a, b)
        _check_texts(a, b)
        self.names = names
        self.by_text = not same_vocabulary(a, b)
        self.at_a, self.at_b = columns(*matched(a, b, self.by_text))
        self.kind = np.where(
            self.at_b < 0, ONLY_A, np.where(self.at_a < 0, ONLY_B, BOTH)
        ).astype(np.int8)  # fmt: skip
        self.a, self.b = redacted_together(a, b) if redact else (a, b)
        super().__init__(_dataset(self))

    def __repr__(self) -> str:
        layers, many = self.dataset.sizes["layer"], f"{int(self.both.sum())} tokens in both"
        return f"<Difference B − A: {many}, {self.kind.size} columns, {layers} layers>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    @property
    def both(self) -> np.ndarray:
        """Whether a column is of both sides, [columns] bool."""
        return self.kind == BOTH

    @property
    def same_length(self) -> bool:
        """Whether every query sees as many tokens on both sides: no column is of one alone."""
        return bool(self.both.all())

    @cached_property
    def sides(self) -> dict[str, np.ndarray]:
        """What is subtracted, for each view: [2, layer, columns] in nats, A first; attention is the
        mean over heads. NaN where the side has no token or no value."""
        found = {}
        if "lens_entropy" in self:
            found["lens"] = np.stack([self.lens_of(side, "lens_entropy") for side in (0, 1)])
        if "entropy" in self:
            found["attention"] = _mean_over_heads(self)
        return found

    def of_side(self, name: str, side: int) -> xr.DataArray:
        """One side's variable [..., columns], read when it is used; NaN or -1 where it has no
        token, and `top_key` as columns."""
        source = (self.a, self.b)[side].dataset[name]

        def as_columns(keys: np.ndarray) -> np.ndarray:
            return self._key_columns(keys, side)

        make = as_columns if name == "top_key" else _as_it_is
        lazy = OnColumns([source], [(self.at_a, self.at_b)[side]], make)
        return xr.DataArray(xr.Variable(source.dims, indexing.LazilyIndexedArray(lazy)))

    def lens_of(self, side: int, name: str) -> np.ndarray:
        """One side's lens variable at `site`, [layer, columns]."""
        values: np.ndarray = self.of_side(name, side)[_site(self.traces[side], self.site)].values
        return values

    def spread(self, values: np.ndarray, side: int) -> np.ndarray:
        """Values [..., positions] of one side on the columns; NaN or -1 where it has no token."""
        return on_columns(values, (self.at_a, self.at_b)[side])

    @property
    def heads_match(self) -> bool:
        """Whether both sides hold attention of the same heads, by their numbers."""
        a, b = self.traces
        return "head" in a and "head" in b and np.array_equal(a["head"], b["head"])

    @property
    def traces(self) -> tuple[Trace, Trace]:
        """A and B."""
        return self.a, self.b

    def _key_columns(self, keys: np.ndarray, side: int) -> np.ndarray:
        column = np.flatnonzero((self.at_a, self.at_b)[side] >= 0)
        return np.where(keys >= 0, column[np.clip(keys, 0, column.size - 1)], -1)


def compare(
    a: Trace, b: Trace, names: tuple[str, str] = ("A", "B"), *, redact: bool = False
) -> Difference:
    """B − A of two traces: two prompts of one model, or two models of one prompt.

    Entropies are differences in nats at the tokens that both have, in order; ids are compared where
    they mean the same texts in both, texts elsewhere. `names` is what the page calls the two. With
    `redact` the alignment is that of the texts, and marks stand for them in all that is kept.

    Raises `UsageError` (one line) where less than half of the longer prompt is in both, where the
    layers are not the same in number, where neither lens nor attention is in both, and where a
    trace is redacted already.
    """
    return Difference(a, b, names, redact=redact)


def _check_texts(a: Trace, b: Trace) -> None:
    """Two traces that were redacted apart have numbers and marks that mean other texts in each."""
    for side, trace in (("A", a), ("B", b)):
        if is_redacted(trace):
            raise UsageError(
                f"{side} holds no texts, and its ids are numbers of its own: compare traces that "
                "hold theirs, with --redact-tokens"
            )


def _check_layers(a: Trace, b: Trace) -> None:
    one, other = a.dataset.sizes["layer"], b.dataset.sizes["layer"]
    if one != other:
        raise UsageError(f"A has {one} layers and B {other}: there are no layers to compare")


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """B − A; NaN where a side has none, and of two infinities."""
    with np.errstate(invalid="ignore"):
        return b - a


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _dataset(of: Difference) -> xr.Dataset:
    """The variables of both sides as differences, on the columns."""
    a, b = of.traces

    def chosen(name: str) -> np.ndarray:
        """A's where it has a token, else B's."""
        of_a, of_b = a[name][np.maximum(of.at_a, 0)], b[name][np.maximum(of.at_b, 0)]
        return np.where(of.at_a >= 0, of_a, of_b)

    text = np.dtypes.StringDType()
    coordinates: dict[str, Any] = {
        "layer": ("layer", a["layer"]),
        "position": ("position", np.arange(of.kind.size, dtype=np.int32)),
        "token_ids": ("position", chosen("token_ids")),
        "token_text": ("position", chosen("token_text").astype(text)),
        "role": ("position", chosen("role").astype(text)),
    }
    coordinates |= {"call": ("layer", a["call"])} if "call" in a else {}
    variables: dict[str, Any] = {}
    if "entropy" in a and "entropy" in b:
        variables, more = _attention(of)
        coordinates |= more
    site = next((site for site in _sites(a) if site in _sites(b)), None)
    if site is not None:
        found, more = _lens(of, site)
        variables, coordinates = variables | found, coordinates | more
    if not variables:
        held = " and ".join(f"{side} holds {_held(trace)}" for side, trace in (("A", a), ("B", b)))
        raise UsageError(f"neither lens nor attention is in both: {held}")
    return xr.Dataset(variables, coordinates)


def _held(trace: Trace) -> str:
    views = {"lens": "lens_entropy", "attention": "entropy"}
    found = [view for view, name in views.items() if name in trace]
    sites = f" at {', '.join(_sites(trace))}" if "lens" in found else ""
    return (" and ".join(found) or "neither") + sites


def _attention(of: Difference) -> tuple[dict[str, Any], dict[str, Any]]:
    """B − A of every head; of models whose heads are not the same, of the mean over heads."""
    a, b = of.traces
    dims = ("layer", "head", "query")
    if not of.heads_match:
        means = _mean_over_heads(of)
        variables: dict[str, Any] = {"entropy": (dims, subtract(*means)[:, None])}
        return variables, {"head": ("head", np.array([-1], np.int32))}
    lazy = OnColumns([t.dataset["entropy"] for t in of.traces], [of.at_a, of.at_b], subtract)
    variables = {"entropy": (dims, indexing.LazilyIndexedArray(lazy))}
    if "top_key" in a and "top_key" in b:
        variables["top_key"] = (dims, of.of_side("top_key", 0).variable._data)
    coordinates: dict[str, Any] = {"head": ("head", a["head"])}
    if "heads" in a and "heads" in b:
        coordinates["heads"] = ("layer", np.minimum(a["heads"], b["heads"]))
    return variables, coordinates


def _mean_over_heads(of: Difference) -> np.ndarray:
    """[2, layer, columns]: attention entropy, the mean over the heads that have a value."""
    found = []
    for trace, at in zip(of.traces, (of.at_a, of.at_b), strict=True):
        attention = planes.attention(trace)
        assert attention is not None  # the caller knows that there is attention
        found.append(on_columns(attention.mean, at))
    return np.stack(found)


def _lens(of: Difference, site: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """B − A of the lens's entropy, and each side's likeliest token with its log-probability; both
    sides' tokens are numbered anew, by their texts."""
    layers, n = of.a.dataset.sizes["layer"], of.kind.size
    values = np.empty((2, layers, n), np.float32)
    ids, logprobs = (
        np.full((layers, n, 2), -1, np.int32),
        np.full((layers, n, 2), np.nan, np.float32),
    )
    numbers: dict[str, int] = {}
    for side, (trace, at) in enumerate(zip(of.traces, (of.at_a, of.at_b), strict=True)):
        entry = _site(trace, site)
        values[side] = on_columns(trace.dataset["lens_entropy"][entry].values, at)
        if "lens_top_ids" in trace:
            own = numbered(trace, trace.dataset["lens_top_ids"][entry, ..., 0].values, numbers)
            ids[..., side] = on_columns(own, at)
        if "lens_top_logprobs" in trace:
            likely = trace.dataset["lens_top_logprobs"][entry, ..., 0].values
            logprobs[..., side] = on_columns(likely, at)
    lens, text = ("site", "layer", "position"), np.dtypes.StringDType()
    variables: dict[str, Any] = {
        "lens_entropy": (lens, subtract(*values)[None]),
        "lens_top_ids": ((*lens, "k"), ids[None]),
        "lens_top_logprobs": ((*lens, "k"), logprobs[None]),
    }
    return variables, {
        "site": ("site", np.array([site], text)),
        "vocabulary_ids": ("vocabulary", np.arange(len(numbers), dtype=np.int32)),
        "vocabulary_text": ("vocabulary", np.array(list(numbers), text)),
    }


def numbered(trace: Trace, ids: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
    """The number of each id's text in `numbers`, a new one for a new text; -1 stays."""
    own, index = np.unique(ids, return_inverse=True)
    new = [
        numbers.setdefault(text or f"id {i}", len(numbers)) if i >= 0 else -1
        for i, text in zip(own.tolist(), trace.text_of(own), strict=True)
    ]
    return np.array(new, np.int32)[index].reshape(ids.shape)


def _sites(trace: Trace) -> list[str]:
    """The lens's sites, the one that is shown unasked first."""
    if "lens_entropy" not in trace:
        return []
    sites = [str(site) for site in trace["site"]] if "site" in trace else ["residual"]
    return sorted(sites, key=lambda site: site != trace.site)


def _site(trace: Trace, site: str) -> int:
    sites = [str(name) for name in trace["site"]] if "site" in trace else [site]
    return sites.index(site)
