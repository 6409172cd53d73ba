"""The arrays of a stored trace, read when they are used; damage is reported in one line.

An array that is read completely stays in memory, as with `xarray.open_dataset`; parts of an array
are read again each time. `xarray.open_dataset` itself would do except for errors: a codec that
fails raises whatever its library raises, and a trace promises a `TraceError` with the array's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import TraceError
from attentropy.engine.failures import is_of_system
from attentropy.engine.trace.checks.files import StoredFiles
from attentropy.engine.trace.checks.limits import Limits
from attentropy.engine.trace.checks.metadata import Contents
from attentropy.engine.trace.checks.ranges import check_read
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.layout import TOKEN_DIMS
from attentropy.engine.trace.types import Array

if TYPE_CHECKING:
    import zarr


def open_datasets(contents: Contents, *, partial: bool = False) -> dict[str, xr.Dataset]:
    """Open the arrays of a store that was inspected, with its attributes.

    Returns the dataset of the store itself, called "", and of each of its groups. partial: the
    trace is of an unfinished run.
    """
    import zarr
    from zarr.storage import StorePath

    from attentropy.engine.trace.checks.chunks import CheckedStore

    checked = CheckedStore(contents)
    datasets = {}
    for part in contents.parts:
        attrs = dict(contents.metadata[part]["attributes"])
        variables: dict[str, xr.Variable] = {}
        limits = Limits(variables, attrs, partial=partial)
        for name in sorted(contents.claims):
            group, _, own = name.rpartition("/")
            if group == part:
                place = StorePath(checked, name)
                array = zarr.Array.from_dict(place, dict(contents.metadata[name]))
                variables[own] = _variable(array, contents.files, name, limits)
        equal = _of_equal_lengths(variables) if partial else variables
        datasets[part] = xr.Dataset(equal, attrs=attrs)
    return datasets


def _of_equal_lengths(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Cut arrays along the tokens to the shortest: a run may be stopped while it cuts them."""
    for dim in TOKEN_DIMS:
        lengths = [one.sizes[dim] for one in variables.values() if dim in one.dims]
        cut = slice(min(lengths, default=0))
        variables = {
            name: one.isel({dim: cut}) if dim in one.dims and one.sizes[dim] > cut.stop else one
            for name, one in variables.items()
        }
    return variables


def _variable(stored: Any, files: StoredFiles, name: str, limits: Limits) -> xr.Variable:
    """Return one array of a store as a variable that is read, and checked, when it is used."""
    array = cast("zarr.Array[Any]", stored)
    metadata: Any = array.metadata
    lazy = indexing.LazilyIndexedArray(_StoredArray(array, files, name, limits))
    cached = indexing.MemoryCachedArray(lazy)  # type: ignore[no-untyped-call]
    encoding = {"chunks": array.chunks}
    return xr.Variable(metadata.dimension_names, cached, encoding=encoding)


class _StoredArray(BackendArray):
    """One array on disk; raises `TraceError` where its chunks are not what its metadata says."""

    def __init__(
        self, array: zarr.Array[Any], files: StoredFiles, name: str, limits: Limits
    ) -> None:
        self._array, self._files, self._name = array, files, name
        self._limits, self._trace = limits, files.name
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        try:
            values = cast(Array, self._array[key])
        # A codec may fail in any of these ways on bytes that it did not write.
        except (TraceError, *UNREADABLE) as error:
            if not self._files.are_current():
                raise TraceError(
                    f"{self._trace} was replaced or removed while it was read; open it again"
                ) from error
            if isinstance(error, TraceError):
                raise
            state = "cannot be read" if is_of_system(error) else "are damaged"
            raise TraceError(
                f"{self._trace}: the values of {self._name} {state} ({reason(error)[:80]})"
            ) from error
        self._check(values, key)
        return values

    def _check(self, values: Array, key: tuple[Any, ...]) -> None:
        """Raise `TraceError` for values that no recording gives; `key` is where they stand."""
        place = [np.atleast_1d(np.arange(n)[own]) for own, n in zip(key, self.shape, strict=True)]
        metadata: Any = self._array.metadata
        cells = np.asarray(values).reshape([at.size for at in place])
        dims = metadata.dimension_names
        check_read(cells, self._name, dims, place, self._limits, self._trace)
