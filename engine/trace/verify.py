"""All values of a trace held to their definitions, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.limits import Limits
from attentropy.engine.trace.checks.ranges import Fault, faults_of, unchecked_reads
from attentropy.engine.trace.ranges import RANGES, SOURCE_RANGES, Range
from attentropy.engine.trace.readable import Readable
from attentropy.engine.trace.types import Array

_BLOCK = 2**21  # values that are read in one go, unless a chunk has more
_MOST = 20  # faults of one variable that are named

RangeOf = Callable[[str], Range | None]


@dataclass(frozen=True)
class Verification:
    """The result of `Trace.verify`; it is true where no value is at fault.

    Attributes:
        values: How many values were checked.
        faults: The values that their variables cannot have, up to 20 of each variable.
        damaged: A line for each variable that could not be read.
        more: How many faults of a variable are not in `faults`, by its name.
    """

    values: int = 0
    faults: tuple[Fault, ...] = ()
    damaged: tuple[str, ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.faults and not self.damaged

    @property
    def lines(self) -> list[str]:
        """One line per fault."""
        more = [f"{name}: {n:,} more" for name, n in self.more.items()]
        return [*map(str, self.faults), *more, *self.damaged]

    def __add__(self, other: Verification) -> Verification:
        return Verification(
            self.values + other.values, self.faults + other.faults,
            self.damaged + other.damaged, {**self.more, **other.more},
        )  # fmt: skip


class Verified:
    """The method of a trace that checks all of its values."""

    def verify(self: Readable) -> Verification:
        """Check every value of the trace: ranges, and what rows of weights add up to.

        Opening a trace checks short arrays, and blocks of long ones; what is read later is checked
        then. This reads everything, block by block, so that a trace of any size fits in memory.

        Returns:
            The result, which is true where no value is at fault; `lines` has a line for each fault.

        Examples:
            >>> from attentropy import extract
            >>> bool(extract().verify())
            True
        """
        return verified(self)


def verified(trace: Readable, prefix: str = "") -> Verification:
    """Return what `verify` finds in a trace; `prefix` stands before the names of its variables."""
    result = verify_dataset(trace.dataset, prefix)
    if trace.sources is not None:
        result += verify_dataset(trace.sources, f"{prefix}sources/", SOURCE_RANGES.get)
    return result


def verify_dataset(
    dataset: xr.Dataset,
    prefix: str = "",
    range_of: RangeOf = RANGES.get,
    attrs: Mapping[str, Any] | None = None,
) -> Verification:
    """Check every number of a dataset; it is read block by block, and nothing of it is kept.

    prefix: what stands before the names of its variables, such as "a/". attrs: those that say how
    large the vocabulary is, by default the dataset's own.
    """
    attrs = dataset.attrs if attrs is None else attrs
    variables = {str(name): one for name, one in dataset.variables.items()}
    limits = Limits(variables, attrs, partial="partial" in attrs)
    result = Verification()
    with unchecked_reads():
        for name, variable in variables.items():
            own = range_of(name)
            if own is not None and variable.dtype.kind in "fiu":
                result += _verify_variable(variable, f"{prefix}{name}", own, limits)
    return result


def _verify_variable(variable: xr.Variable, name: str, own: Range, limits: Limits) -> Verification:
    faults: list[Fault] = []
    checked = count = 0
    dims = tuple(map(str, variable.dims))
    try:
        for place, values in _blocks(variable):
            checked += values.size
            for fault in faults_of(values, name, own, dims, place, limits):
                count += 1
                if count <= _MOST:
                    faults.append(fault)
    except TraceError as error:
        return Verification(checked, tuple(faults), (str(error),))
    more = {name: count - _MOST} if count > _MOST else {}
    return Verification(checked, tuple(faults), (), more)


def _blocks(variable: xr.Variable) -> Iterator[tuple[list[Array], Array]]:
    """Yield the values of a variable in blocks, each with its indices along each dimension.

    A block has whole chunks, so that each chunk is read once.
    """
    chunks = variable.encoding.get("chunks", ())
    if len(chunks) != variable.ndim:
        chunks = (1,) * variable.ndim
    lengths = _grown(variable.shape, tuple(chunks))
    starts = [range(0, n, length) for n, length in zip(variable.shape, lengths, strict=True)]
    for at in product(*starts):
        ends = [min(n, start + length)
                for start, length, n in zip(at, lengths, variable.shape, strict=True)]  # fmt: skip
        block = tuple(slice(start, stop) for start, stop in zip(at, ends, strict=True))
        values: Array = variable[block].values
        yield [np.arange(start, stop) for start, stop in zip(at, ends, strict=True)], values


def _grown(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths of a block: as many whole chunks as `_BLOCK` values have room for."""
    lengths = list(chunks)
    for axis in reversed(range(len(shape))):
        others = math.prod(lengths) // lengths[axis]
        fitting = _BLOCK // max(1, others) // chunks[axis] * chunks[axis]
        lengths[axis] = min(shape[axis], max(chunks[axis], fitting))
        lengths[axis] = max(1, lengths[axis])
        if lengths[axis] < shape[axis]:
            break
    return tuple(lengths)
