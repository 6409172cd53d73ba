"""The arrays of a stored trace, read when they are used; damage is reported in one line.

An array that is read completely stays in memory, as with `xarray.open_dataset`; parts of an array
are read again each time. `xarray.open_dataset` itself would do except for errors: a codec that
fails raises whatever its library raises, and a trace promises a `TraceError` with the array's name.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.metadata import Contents
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.checks.values import check_range
from attentropy.engine.trace.layout import TOKEN_DIMS
from attentropy.engine.trace.types import Array

if TYPE_CHECKING:
    import zarr


def open_datasets(
    path: Path, contents: Contents, *, partial: bool = False
) -> dict[str, xr.Dataset]:
    """Open the arrays of the Zarr v3 folder or zip at `path`, with its attributes.

    Returns the dataset of the store itself, called "", and of each of its groups. partial: the
    trace is of an unfinished run.
    """
    import zarr
    from zarr.storage import LocalStore, ZipStore

    from attentropy.engine.trace.checks.chunks import CheckedStore

    source = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    claims = contents.claims
    checked = CheckedStore(source, path.name, claims, contents.digests)
    datasets = {}
    for name in contents.parts:
        group = zarr.open_group(checked, path=name, mode="r", use_consolidated=False)
        own = sorted(array for array in claims if array.rpartition("/")[0] == name)
        variables = {
            array.rpartition("/")[2]: _variable(group[array.rpartition("/")[2]], path.name, array)
            for array in own
        }
        if partial:
            variables = _of_equal_lengths(variables)
        datasets[name] = xr.Dataset(variables, attrs=group.attrs.asdict())
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


def _variable(stored: Any, trace: str, name: str) -> xr.Variable:
    """Return one array of a store as a variable that is read when it is used."""
    array = cast("zarr.Array[Any]", stored)
    metadata: Any = array.metadata
    lazy = indexing.LazilyIndexedArray(_StoredArray(array, trace, name))
    cached = indexing.MemoryCachedArray(lazy)  # type: ignore[no-untyped-call]
    encoding = {"chunks": array.chunks}
    return xr.Variable(metadata.dimension_names, cached, encoding=encoding)


class _StoredArray(BackendArray):
    """One array on disk; raises `TraceError` where its chunks are not what its metadata says."""

    def __init__(self, array: zarr.Array[Any], trace: str, name: str) -> None:
        self._array, self._trace, self._name = array, trace, name
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Array:
        try:
            values = cast(Array, self._array[key])
        # A codec may fail in any of these ways on bytes that it did not write.
        except (*UNREADABLE, zipfile.BadZipFile) as error:
            raise TraceError(
                f"{self._trace}: the values of {self._name} are damaged ({reason(error)[:80]})"
            ) from error
        check_range(values, self._trace, self._name)
        return values
