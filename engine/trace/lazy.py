"""The arrays of a stored trace, read when they are used; damage is reported in one line.

An array that is read completely stays in memory, as with `xarray.open_dataset`; parts of an array
are read again each time. `xarray.open_dataset` itself would do except for errors: a codec that
fails raises whatever its library raises, and a trace promises a `TraceError` with the array's name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.arrays import Claim
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.types import Array

if TYPE_CHECKING:
    import zarr


def open_dataset(
    path: Path, claims: Mapping[str, Claim], digests: Mapping[str, str] | None
) -> xr.Dataset:
    """Open the arrays in `claims` of the Zarr v3 folder or zip at `path`, with its attributes.

    digests: of all files, by name; None where the trace has none.
    """
    import zarr
    from zarr.storage import LocalStore, ZipStore

    from attentropy.engine.trace.checks.chunks import CheckedStore

    source = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    checked = CheckedStore(source, path.name, claims, digests)
    group = zarr.open_group(checked, mode="r", zarr_format=3, use_consolidated=False)
    variables = {}
    for name in sorted(claims):
        array = cast("zarr.Array[Any]", group[name])
        metadata: Any = array.metadata
        stored = indexing.LazilyIndexedArray(_StoredArray(array, path.name, name))
        cached = indexing.MemoryCachedArray(stored)  # type: ignore[no-untyped-call]
        encoding = {"chunks": array.chunks}
        variables[name] = xr.Variable(metadata.dimension_names, cached, encoding=encoding)
    return xr.Dataset(variables, attrs=group.attrs.asdict())


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
            return cast(Array, self._array[key])
        # A codec may fail in any of these ways on bytes that it did not write.
        except (*UNREADABLE, zipfile.BadZipFile) as error:
            raise TraceError(
                f"{self._trace}: the values of {self._name} are damaged ({reason(error)[:80]})"
            ) from error
