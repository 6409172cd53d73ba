"""The ends of a range in one trace: what `ranges` names, computed for the cells of a block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.answered import prompt_length
from attentropy.engine.trace.audience import audience_of
from attentropy.engine.trace.ranges import End, Range
from attentropy.engine.trace.types import Array, Dims

TOLERANCE = 1e-4
# Where an error grows with the tokens, by the project's bounds for its kernels; see definitions.md.
_PER_TOKEN = 2e-5
_HALF_STEP = 2.0**-11  # the largest relative rounding error of float16
_LARGEST = 2**31 - 1
# Of `visible`, parts are read at first; then all of it, which is kept, up to so many bytes.
_MOST_SLICES, _WHOLE_BYTES = 8, 2**26
_MOST_NOISE = 1.0  # nats between two readings of the same answer
_KEYS = 2**18  # of `visible` that are looked at in one go

Place = Sequence[Array]  # the indices of a block along each dimension


class Limits:
    """The sizes of one trace on which the ends of ranges depend; they are read when needed.

    variables: those of the trace. partial: the run is unfinished, so a chunk may have values before
    it says how many keys its queries see.
    """

    def __init__(
        self, variables: Mapping[str, xr.Variable], attrs: Mapping[str, Any], *, partial: bool
    ) -> None:
        self._variables, self._attrs, self._partial = variables, attrs, partial
        self._audience: tuple[int, Array] | None = None  # of a layer: queries that see each key
        self._slices = 0  # parts of `visible` that were read so far

    def __deepcopy__(self, memo: object) -> Limits:
        """Return these limits: a copy of a dataset reads the same store."""
        return self

    def end(self, end: End, dims: Dims, place: Place) -> Array | float:
        """Return an end of a range; an array that has a length for each of `dims`, or one number.

        place: the indices of the block's cells along each dimension.
        """
        if not isinstance(end, str):
            return end
        if "visible" in end or "query," in end or end == "0, else 1 - N":
            return self._of_row(end, dims, place)
        if end == "queries, else n":
            return self._of_key(dims, place)
        if end.startswith("-ln p"):
            return self._of_step(dims, place) if end == "-ln p" else self._of_word(dims, place)
        return self._numbers[end]

    def tolerance(self, own: Range, bound: Array | float, dtype: np.dtype[Any]) -> Array | float:
        """Return how far beyond an end a value may be: rounding of kernels and of float16."""
        if dtype.kind != "f":
            return 0.0
        factor = {"1": 1.0, "ln N": max(1.0, self._numbers["ln N"])}.get(own.step, 1.0)
        rounding = TOLERANCE * factor
        if own.step == "N":
            rounding += _PER_TOKEN * self._numbers["N"]
        if dtype.itemsize > 2:
            return rounding
        size = np.where(np.isfinite(bound), np.abs(bound), 0.0)
        stored: Array = rounding + _HALF_STEP * size
        return stored

    @cached_property
    def _numbers(self) -> dict[str, float]:
        tokens = self._tokens
        size = self._vocabulary
        is_redacted = self._attrs.get("redacted") is True
        return {
            "N": tokens, "N - 1": tokens - 1, "ln N": math.log(tokens), "-ln N": -math.log(tokens),
            "n": self._prompt, "V - 1": size - 1,
            "last id": _LARGEST if is_redacted else size - 1,
            "layers - 1": self._sizes.get("layer", 1) - 1,
            "ln V": math.log(size), "-ln V": -math.log(size),
        }  # fmt: skip

    @property
    def _tokens(self) -> int:
        return max(1, self._sizes.get("position", self._sizes.get("query", _LARGEST)))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {
            str(dim): n
            for one in self._variables.values()
            for dim, n in zip(one.dims, one.shape, strict=True)
        }

    @property
    def _prompt(self) -> int:
        if "role" not in self._variables:
            return self._tokens
        facts = self._attrs.get("prompt")
        return prompt_length(
            self._variables["role"].values, facts if isinstance(facts, dict) else {}
        )

    @property
    def _vocabulary(self) -> int:
        facts = self._attrs.get("model")
        size = facts.get("vocabulary") if isinstance(facts, dict) else None
        return size if type(size) is int and 0 < size <= _LARGEST else _LARGEST + 1

    def _of_row(self, end: str, dims: Dims, place: Place) -> Array:
        """Return an end that depends on the query, and on how many keys it sees."""
        layers, queries = (place[dims.index(name)] for name in ("layer", "query"))
        causal, last = self._is_causal, self._tokens - 1
        shape = [len(at) if dim in ("layer", "query") else 1
                 for dim, at in zip(dims, place, strict=True)]  # fmt: skip
        if end == "query, else N - 1":
            own = queries if causal else np.full(queries.size, last)
            return np.broadcast_to(own, (layers.size, queries.size)).reshape(shape)
        if end == "0, else 1 - N":
            return np.full([1] * len(dims), 0 if causal else -last)
        keys = self._keys(layers, queries)
        with np.errstate(divide="ignore"):
            ends = {
                "ln visible": lambda: np.log(keys),
                "1 / visible": lambda: 1 / np.maximum(keys, 1),
                "ln(visible - 1)^2 / 4 + 1": lambda: np.where(
                    keys > 1, np.log(np.maximum(keys - 1, 1)) ** 2 / 4 + 1, 0.0
                ),
                "visible - 1, else N - 1": lambda: (
                    keys - 1 if causal else np.full(keys.shape, last)
                ),
            }
            row_end: Callable[[], Array | float] = ends[end]
            return np.asarray(row_end(), np.float64).reshape(shape)

    def _keys(self, layers: Array, queries: Array) -> Array:
        """Return how many keys queries see, [layer, query]; all tokens where that is not known."""
        own = self._variables.get("visible")
        if own is None:
            return np.full((layers.size, queries.size), self._tokens, np.float64)
        self._slices += 1
        if own.nbytes <= _WHOLE_BYTES and self._slices > _MOST_SLICES:
            counts = own.values[np.ix_(layers, queries)]
        else:
            rows, columns = (slice(at[0], at[-1] + 1) for at in (layers, queries))
            counts = own[rows, columns].values[np.ix_(layers - layers[0], queries - queries[0])]
        is_unknown = counts < (1 if self._partial else 0)
        return np.where(is_unknown, self._tokens, counts).astype(np.float64)

    @cached_property
    def _is_causal(self) -> bool:
        """Whether no query can see a later key, as far as the trace says how many it sees."""
        own = self._variables.get("visible")
        if own is None or ("role" in self._variables and "image" in self._variables["role"].values):
            return False
        if own.nbytes <= _WHOLE_BYTES:
            return bool((own.values <= np.arange(own.shape[1]) + 1).all())
        for layer in range(own.shape[0]):
            for start in range(0, own.shape[1], _KEYS):
                counts = own[layer, start : start + _KEYS].values
                if (counts > np.arange(start, start + counts.size) + 1).any():
                    return False
        return True

    def _of_key(self, dims: Dims, place: Place) -> Array | float:
        """Return how many queries of the prompt see each key, in causal order."""
        own, prompt = self._variables.get("visible"), int(self._numbers["n"])
        if own is None or self._partial or not self._is_causal:
            return float(prompt)
        layers, keys = (place[dims.index(name)] for name in ("layer", "position"))
        queries = np.stack([self._queries_of_keys(int(layer), prompt)[keys] for layer in layers])
        return queries.reshape([at.size if dim in ("layer", "position") else 1
                             for dim, at in zip(dims, place, strict=True)])  # fmt: skip

    def _queries_of_keys(self, layer: int, prompt: int) -> Array:
        """Return how many queries of a layer see each position, of the last layer only once."""
        last = self._audience
        if last is None or last[0] != layer:
            counts = self._variables["visible"][layer, :prompt].values
            queries = np.full(prompt, float(prompt))
            if (counts > 0).any():  # a layer without attention does not say who would see what
                queries = audience_of(counts, prompt).queries
            last = self._audience = (layer, np.pad(queries, (0, self._tokens - prompt)))
        return last[1]

    def _of_step(self, dims: Dims, place: Place) -> Array:
        """Return −ln p of each step."""
        steps = place[dims.index("step")]
        ends: Array = self._surprisals[steps].reshape(
            [steps.size if dim == "step" else 1 for dim in dims]
        )
        return ends

    def _of_word(self, dims: Dims, place: Place) -> Array:
        """Return −ln p of each word: the sum over its steps."""
        words = place[dims.index("word")]
        before = np.concatenate([[0.0], np.cumsum(self._surprisals)])
        start, stop = (
            np.clip(self._variables[name].values[words], 0, before.size - 1)
            for name in ("word_start", "word_stop")
        )
        ends: Array = (before[stop] - before[start]).reshape(
            [words.size if dim == "word" else 1 for dim in dims]
        )
        return ends

    @property
    def _surprisals(self) -> Array:
        """−ln p of each step, with what two readings of the same answer may differ by."""
        noise = self._attrs.get("noise")
        spare = 0.0
        if isinstance(noise, int | float) and math.isfinite(noise):
            spare = min(max(noise, 0.0), _MOST_NOISE)
        surprisals: Array = spare - self._variables["logprob"].values.astype(np.float64)
        return surprisals
