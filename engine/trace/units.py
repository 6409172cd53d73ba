"""The units that people read (words, messages, segments), and statistics of the tokens in each.

Words are those of the text itself (see `word_boundaries`). Everything is computed in float64 from
the rows of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.answer_attention import answer_attention
from attentropy.engine.trace.readable import Readable, is_redacted
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.types import Array, Dims
from attentropy.engine.trace.word_boundaries import word_boundaries

UNITS = ("token", "word", "message", "segment")
DEFAULT_STATISTICS = ("entropy", "lens_entropy", "received")
_TOKEN_AXES = ("query", "position")


@dataclass(frozen=True)
class Units:
    """The units of a trace: the number of the unit of each position (-1: none), and their names."""

    numbers: Array
    names: list[str]

    @property
    def tokens(self) -> Array:
        """How many tokens each unit has, [unit]."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=len(self.names))

    def members(self) -> tuple[Array, Array]:
        """Return the positions unit by unit, and where in them each unit starts."""
        order = np.argsort(self.numbers, kind="stable")
        order = order[np.count_nonzero(self.numbers < 0) :]
        return order, np.concatenate([[0], np.cumsum(self.tokens)[:-1]]).astype(np.int64)


def units_of(trace: Readable, unit: str) -> Units:
    """Return the units of one kind.

    Raises `UsageError` for an unknown kind, and for one that the trace has none of.
    """
    if unit not in UNITS:
        raise UsageError(f"`by={unit!r}` is not a unit; use {', '.join(UNITS[:-1])} or {UNITS[-1]}")
    n = len(trace.tokens)
    if unit == "token":
        return Units(np.arange(n), trace.tokens)
    if unit == "word":
        return _words(trace)
    if unit not in trace:
        advice = "record a chat" if unit == "message" else "name some of its text with `segments`"
        raise UsageError(f"the trace has no {unit}s; {advice}")
    if unit == "message":
        messages, numbers = np.unique(trace["message"], return_inverse=True)
        numbers = numbers - np.count_nonzero(messages < 0)
        return Units(np.maximum(numbers, -1), [str(i) for i in messages if i >= 0])
    segments = [str(name) for name in trace["segment"]]
    names = list(dict.fromkeys(name for name in segments if name))
    places = {name: i for i, name in enumerate(names)} | {"": -1}
    return Units(np.array([places[name] for name in segments], np.int64), names)


def _words(trace: Readable) -> Units:
    if is_redacted(trace):
        raise UsageError("the trace is redacted, so its words are unknown; use `by='token'`")
    tokens = trace.tokens
    numbers = np.cumsum(word_starts(trace)) - 1
    names = [""] * (int(numbers[-1]) + 1 if len(tokens) else 0)
    for number, token in zip(numbers.tolist(), tokens, strict=True):
        names[number] += token
    return Units(numbers, names)


def word_starts(trace: Readable) -> Array:
    """Return whether each token of a trace starts a word, [N] bool; see `starts_word`."""
    spans = None
    if "byte_start" in trace and "byte_end" in trace:
        spans = np.stack([trace["byte_start"], trace["byte_end"]], -1)
    return starts_word(trace.tokens, trace.roles, spans)


def starts_word(tokens: Sequence[str], roles: Sequence[str], spans: Array | None = None) -> Array:
    """Return whether each token starts a word, [N] bool.

    It does where a word boundary lies between the token before and it, blanks of both aside, and
    where the role changes. Tokens that share a character, and what is the rest of one, do not.
    Blanks that are tokens of their own are words of their own.
    """
    return starts_part(tokens, word_boundaries("".join(tokens)), roles, spans)


def starts_part(
    tokens: Sequence[str],
    boundaries: Sequence[int],
    roles: Sequence[str],
    spans: Array | None = None,
) -> Array:
    """Return whether each token starts a part of the text, cut at `boundaries`, [N] bool.

    boundaries: places in the text of all tokens, in characters. See `starts_word`.
    """
    length = sum(map(len, tokens))
    is_boundary = np.zeros(length + 1, np.int64)
    is_boundary[list(boundaries)] = 1
    is_boundary[[0, -1]] = 1
    passed = np.concatenate([[0], np.cumsum(is_boundary)])  # boundaries before each place
    starts = np.ones(len(tokens), bool)
    place = [0, *accumulate(map(len, tokens))]
    end = 0  # of the letters of the last token that has any characters
    for i, token in enumerate(tokens):
        first = place[i] + (len(token) - len(token.lstrip())) % max(len(token), 1)
        if i:
            is_rest = not token or (spans is not None and _share(spans[i - 1], spans[i]))
            is_new = roles[i] != roles[i - 1] or passed[first + 1] > passed[end]
            starts[i] = is_new and not is_rest
        if token:
            end = place[i] + (len(token.rstrip()) or len(token))
    return starts


def _share(before: Array, after: Array) -> bool:
    """Return whether two byte spans have a byte of both."""
    return bool(max(before[0], after[0]) < min(before[1], after[1]))


def by(trace: Readable, unit: str, statistics: Iterable[str] | None = None) -> xr.Dataset:
    """Return statistics of each unit's tokens; see `Trace.by`."""
    units = units_of(trace, unit)
    order, starts = units.members()
    numbers = np.arange(len(units.names))
    bounds = np.append(starts, order.size)
    first = order[starts] if order.size else order
    tokens, roles = trace.tokens, trace.roles
    texts, own = units.names, numbers
    if unit in ("message", "segment"):
        own = text_array(texts) if unit == "segment" else np.array(texts, np.int64)
        places = pairwise(bounds)
        texts = ["".join(tokens[i] for i in order[a:b]) for a, b in places]
    coords: dict[str, tuple[Dims, Array]] = {
        unit: ((unit,), own),
        "text": ((unit,), text_array(texts)),
        "role": ((unit,), text_array(roles[i] for i in first)),
        "start": ((unit,), first),
        "stop": ((unit,), order[bounds[1:] - 1] + 1 if order.size else order),
        "tokens": ((unit,), units.tokens),
    }
    dataset = xr.Dataset(coords=coords)
    wanted = DEFAULT_STATISTICS if statistics is None else statistics
    for name in wanted if statistics is not None else (n for n in wanted if n in trace):
        dataset = dataset.assign(_of_variable(trace, name, unit, units))
    if TOKEN_LOGPROB in trace:
        rows = at_positions(trace, "query", -trace[TOKEN_LOGPROB].astype(np.float64))
        sums, means = aggregate(rows, units, undefined=0)
        dataset = dataset.assign(surprisal_sum=((unit,), sums), surprisal_mean=((unit,), means))
    answer = answer_attention(trace, units.numbers, len(units.names))
    if answer is not None:
        dims = ("layer", "answer_head", unit)
        dataset = dataset.assign(answer_attention=(dims, answer.masses))
        dataset = dataset.assign_coords(answer_head=answer.heads)
    axes = [name for name in ("layer", "call", "head", "site", "received_head")
            if name in trace and set(trace.dataset[name].dims) & set(dataset.dims)]  # fmt: skip
    return dataset.assign_coords({name: trace.dataset[name] for name in axes})


def _of_variable(trace: Readable, name: str, unit: str, units: Units) -> dict[str, xr.Variable]:
    """Return sum and mean of one variable over the tokens of each unit, computed when read."""
    variable = trace.dataset[name] if name in trace else None
    is_per_token = variable is not None and str(variable.dims[-1]) in _TOKEN_AXES
    if variable is None or variable.dtype.kind != "f" or not is_per_token:
        raise UsageError(f"{name!r} is no measurement per token of this trace")
    dims = (*map(str, variable.dims[:-1]), unit)
    derived = {}
    for which, of in enumerate(("sum", "mean")):
        lazy = indexing.LazilyIndexedArray(_OfUnits(trace, name, units, which))
        cached = indexing.MemoryCachedArray(lazy)  # type: ignore[no-untyped-call]
        derived[f"{name}_{of}"] = xr.Variable(dims, cached)
    return derived


class _OfUnits(BackendArray):
    """Sums (0) or means (1) of one variable, computed when they are read, for a row or a layer.

    So no more than one layer of a long trace is in memory besides the result.
    """

    def __init__(self, trace: Readable, name: str, units: Units, which: int) -> None:
        self._trace, self._units, self._which = trace, units, which
        self._variable = trace.dataset[name].variable
        self.shape = (*self._variable.shape[:-1], len(units.names))
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        first, *rest = key
        if isinstance(first, slice) and rest:
            result = np.empty(np.broadcast_to(np.nan, self.shape)[key].shape)
            for i, entry in enumerate(range(self.shape[0])[first]):
                result[i] = self._read((entry, *rest))
            return result
        *at, own = key
        rows = np.asarray(self._variable[(*at, slice(None))].values, np.float64)
        rows = at_positions(self._trace, str(self._variable.dims[-1]), rows)
        values: Array = aggregate(rows, self._units)[self._which][..., own]
        return values


def at_positions(trace: Readable, axis: str, rows: Array) -> Array:
    """Return rows [..., query] or [..., position] as [..., position]; NaN for other positions."""
    if axis == "position" or "query" not in trace:
        return rows
    at_position = np.full((*rows.shape[:-1], len(trace.tokens)), np.nan)
    at_position[..., trace["query"]] = rows
    return at_position


def aggregate(rows: Array, units: Units, undefined: int | None = None) -> tuple[Array, Array]:
    """Return the float64 sum and mean of rows [..., position] in each unit.

    A sum is NaN where a token has no value, a mean where none has. undefined: a position that has
    no value by definition, and is left out of the sum.
    """
    order, starts = units.members()
    if not order.size:
        empty = np.empty((*rows.shape[:-1], 0))
        return empty, empty
    values = rows[..., order]
    is_missing = np.isnan(values)
    total = np.add.reduceat(np.where(is_missing, 0.0, values), starts, -1)
    present = np.add.reduceat((~is_missing).astype(np.int64), starts, -1)
    needed = np.add.reduceat((order != undefined).astype(np.int64), starts)
    with np.errstate(invalid="ignore"):
        means = np.where(present > 0, total / np.maximum(present, 1), np.nan)
    return np.where((present >= needed) & (present > 0), total, np.nan), means
