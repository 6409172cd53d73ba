"""The arrays of a stored trace, read when they are used; a damaged one is told of in one line.

What is read whole stays in memory, as with `xarray.open_dataset`; parts of an array are read anew.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.metadata import UNREADABLE, Claim, reason


def dataset(
    path: Path, claims: Mapping[str, Claim], sealed: Mapping[str, str] | None
) -> xr.Dataset:
    """The arrays `claims` of the Zarr v3 folder or zip at `path`, and its attributes."""
    import zarr
    from zarr.storage import LocalStore, ZipStore

    from attentropy.engine.trace.checks.chunks import Checked

    source = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    checked = Checked(source, path.name, claims, sealed)
    group = zarr.open_group(checked, mode="r", zarr_format=3, use_consolidated=False)
    found = {}
    for name in sorted(claims):
        array: Any = group[name]
        lazy = indexing.LazilyIndexedArray(_Stored(array, path.name, name))
        encoding = {"chunks": array.chunks}
        kept = indexing.MemoryCachedArray(lazy)
        found[name] = xr.Variable(array.metadata.dimension_names, kept, encoding=encoding)
    attributes: Mapping[str, Any] = group.attrs.asdict()
    return xr.Dataset(found, attrs=attributes)


class _Stored(BackendArray):
    """One array; raises `TraceError` where its chunks are not what its metadata says."""

    def __init__(self, array: Any, trace: str, name: str) -> None:
        self._array, self._trace, self._name = array, trace, name
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Any:
        try:
            return self._array[key]
        # Whatever a codec finds wrong with bytes that it did not write.
        except (*UNREADABLE, zipfile.BadZipFile) as error:
            raise TraceError(
                f"{self._trace}: the values of {self._name} are damaged ({reason(error)[:80]})"
            ) from error
