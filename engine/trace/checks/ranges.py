"""Whether values are ones that their variable can have: the ranges of `ranges`, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.limits import Limits, Place
from attentropy.engine.trace.ranges import RANGES, SOURCE_RANGES, End, Range
from attentropy.engine.trace.schema import COORDINATES
from attentropy.engine.trace.sources import GROUP
from attentropy.engine.trace.thumbnails import THUMBNAIL_TILES, decode_mass, mass_error
from attentropy.engine.trace.types import Array, Dims

_is_unchecked: ContextVar[bool] = ContextVar("is_unchecked", default=False)


@dataclass(frozen=True)
class Fault:
    """A value that its variable cannot have.

    `index` counts from 0 along each of `dims`, -1 for a dimension along which values are added up.
    `bound` is the end that `value` lies beyond, and `end` its name.
    """

    variable: str
    dims: Dims
    index: tuple[int, ...]
    value: float
    bound: float
    end: str
    side: str

    def __str__(self) -> str:
        place = ", ".join(
            f"{dim} {at}" for dim, at in zip(self.dims, self.index, strict=True) if at >= 0
        )
        summed = [dim for dim, at in zip(self.dims, self.index, strict=True) if at < 0]
        what = f"{self.variable}, added up along {summed[0]}," if summed else self.variable
        name = "" if self.end == _number(self.bound) else f"{self.end} = "
        is_open = self.end in ("inf", "-inf")
        limit = "" if is_open else f", {self.side} {name}{_number(self.bound)}"
        return f"{what} is {_number(self.value)}{f' at {place}' if place else ''}{limit}"


class Impossible(TraceError):
    """A value that its variable cannot have."""


@contextmanager
def unchecked_reads() -> Iterator[None]:
    """Do not check what this thread reads of stored traces meanwhile."""
    token = _is_unchecked.set(True)
    try:
        yield
    finally:
        _is_unchecked.reset(token)


def are_reads_unchecked() -> bool:
    """Return whether this thread is within `unchecked_reads`."""
    return _is_unchecked.get()


def range_of(name: str) -> Range | None:
    """Return the range of a variable, None for texts; one of a group is called GROUP/VARIABLE."""
    group, _, own = name.rpartition("/")
    return (SOURCE_RANGES if group == GROUP else RANGES).get(own)


def check_read(
    values: Array, name: str, dims: Dims, place: Place, limits: Limits, trace: str
) -> None:
    """Raise `Impossible` for the first of `values` that the variable `name` cannot have.

    place: the indices of the values along each dimension. trace: the name it gives.
    """
    own = range_of(name)
    # `values` reads coordinates completely, and has words of its own for them.
    if (
        own is None
        or name.rpartition("/")[2] in COORDINATES
        or are_reads_unchecked()
        or not values.size
    ):
        return
    shown = name.replace(GROUP, "sources")
    for fault in faults_of(values, shown, own, dims, place, limits, most=1):
        raise Impossible(f"{trace}: {fault}: no recording gives this, so it was not opened")


def faults_of(
    values: Array,
    name: str,
    own: Range,
    dims: Dims,
    place: Place,
    limits: Limits,
    most: int | None = None,
) -> Iterator[Fault]:
    """Yield the faults of a block of values [dims], at most `most` single ones and `most` sums."""
    if not values.size:
        return
    ends = {end: limits.end(end, dims, place) for end in (own.low, own.high)}
    low, high = ends[own.low], ends[own.high]
    with np.errstate(invalid="ignore"):
        is_low = values < _cast(low - limits.tolerance(own, low, values.dtype), values.dtype)
        is_high = values > _cast(high + limits.tolerance(own, high, values.dtype), values.dtype)
        if not own.reaches_infinity and values.dtype.kind == "f":
            is_low |= np.isneginf(values)
            is_high |= np.isposinf(values)
    for is_out, side, end, bound in (
        (is_low, "below", own.low, low), (is_high, "above", own.high, high),
    ):  # fmt: skip
        if is_out.any():
            bounds = np.broadcast_to(bound, values.shape)
            for at in _first(is_out, most):
                index = tuple(int(of[i]) for of, i in zip(place, at, strict=True))
                yield Fault(
                    name, dims, index, float(values[at]), float(bounds[at]), _word(end), side
                )
    if own.total is not None and own.total.over in dims:
        yield from _sums(values, name, own, dims, place, limits, most)


def _sums(
    values: Array, name: str, own: Range, dims: Dims, place: Place, limits: Limits, most: int | None
) -> Iterator[Fault]:
    """Yield the faults of sums along a dimension; of a part of it they are as good a bound."""
    total = own.total
    assert total is not None
    axis = dims.index(total.over)
    if values.shape[axis] < 2:
        return
    bound = float(limits.end(total.most, dims, place))
    spare = float(limits.tolerance(own, bound, np.dtype(np.float32)))
    if total.of == "bytes":
        terms = decode_mass(values)
        spare += THUMBNAIL_TILES * float(mass_error(np.array(1 / THUMBNAIL_TILES)))
    elif total.of == "exp":
        terms = np.exp(np.minimum(values, 0, dtype=np.float32))
    else:
        terms = values
    if values.dtype == np.float16:
        spare += 2.0**-9 * max(1.0, bound) + values.shape[axis] * 2.0**-25
    sums: Array = np.asarray(np.nansum(terms, axis=axis, dtype=np.float64, keepdims=True))
    for at in _first(np.greater(sums, bound + spare), most):
        index = tuple(
            -1 if i == axis else int(of[own_at])
            for i, (of, own_at) in enumerate(zip(place, at, strict=True))
        )
        yield Fault(name, dims, index, float(sums[at]), bound, _word(total.most), "above")


def _first(is_out: Array, most: int | None) -> Iterator[tuple[int, ...]]:
    """Yield the places where `is_out` is true, the first `most` of them."""
    flat = np.flatnonzero(is_out)
    for one in flat[:most]:
        yield tuple(int(i) for i in np.unravel_index(one, is_out.shape))


def _cast(bound: Any, dtype: np.dtype[Any]) -> Any:
    """Return a bound in a type that is compared with `dtype` without a copy of the values."""
    if dtype.kind != "f" or np.ndim(bound) == 0:
        return bound
    return np.asarray(bound, np.float32)


def _word(end: End) -> str:
    return end if isinstance(end, str) else _number(end)


def _number(value: float) -> str:
    """Return a number as a message has it: at most six digits."""
    return f"{value:.6g}"
