"""Labelled arrays in a Zarr v3 store on disk, written as one step: complete or not at all."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.output.check import is_folder
from attentropy.engine.output.place import Place, repair, reserve
from attentropy.engine.trace import lazy
from attentropy.engine.trace.checks.metadata import inspect
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.consolidated import GROUPS, consolidate
from attentropy.engine.trace.digests import seal
from attentropy.engine.trace.layout import CHUNK_LENGTH, chunk_shape
from attentropy.engine.trace.types import Array, Form, JsonObject

if TYPE_CHECKING:
    import zarr

_LONG = dict.fromkeys(("query", "position", "window_query"), CHUNK_LENGTH)


def read_datasets(
    path: Path, form: Form, *, partial: bool = False, max_cells: int | None = None
) -> dict[str, xr.Dataset]:
    """Return the datasets in a Zarr v3 folder or zip; their arrays are read when they are used.

    The store's own is called "", those of its groups have the groups' names. form: what may be
    there. partial: some chunks may be missing, and optional groups are left out. max_cells: the
    work that the store may make, by default what one of its size does. Raises `TraceError` in one
    line.
    """
    repair(path)
    if not path.exists():
        raise TraceError(f"no trace at {path.name!r}: no such file or folder")
    try:
        contents = inspect(path, form, partial=partial, max_cells=max_cells)
        return lazy.open_datasets(contents, partial=partial)
    except TraceError:
        raise
    except UNREADABLE as error:
        raise TraceError(f"{path.name}: not a readable trace ({reason(error)})") from error


def write_datasets(datasets: Mapping[str, xr.Dataset], path: Path, *, force: bool = False) -> Path:
    """Write a Zarr v3 folder (`.zarr`) or file (`.zarr.zip`), or nothing at all.

    The dataset "" is that of the store itself, the others are those of its groups.
    """
    with reserve(check_name(path), force=force) as place:
        folder = place.folder("store") / "trace.zarr"
        for name in sorted(datasets):
            write_group(datasets[name], folder / name)
        finish(folder, place)
    return path


def check_name(path: Path) -> Path:
    """Return `path` if a trace may have its name. Raises `UsageError`."""
    if not path.name.endswith((".zarr", ".zarr.zip")):
        raise UsageError(f"{path.name!r}: name the trace NAME.zarr (a folder) or NAME.zarr.zip")
    return path


def finish(folder: Path, place: Place, *, spent: Path | None = None, durable: bool = True) -> None:
    """Complete the store in `folder` and put it at its place, packed if that is an archive.

    The folder `spent` is removed then. durable: all of it is on the disk before it has its name.
    """
    consolidate(folder)
    seal(folder)
    if not is_folder(place.path):
        packed = place.scratch / "packed"
        _pack(folder, packed)
        folder = packed
    place.put(folder, spent=spent, durable=durable)


def create_group(folder: Path, attributes: Mapping[str, Any]) -> zarr.Group:
    """Create a Zarr group at `folder` with attributes and no arrays."""
    import zarr

    return zarr.create_group(str(folder), zarr_format=3, attributes=_as_json(attributes))


def open_group(folder: Path) -> zarr.Group:
    """Open the Zarr group at `folder` for writing."""
    import zarr

    return zarr.open_group(str(folder), mode="r+", zarr_format=3, use_consolidated=False)


def create_array(
    group: zarr.Group,
    name: str,
    dims: Sequence[object],
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...],
    fill: float | int | None,
) -> zarr.Array[Any]:
    """Create the array `name` of a group, without chunks yet.

    An array that exists already, with these chunks, keeps its values; one that a run cut before it
    was stopped gets its shape back.
    """
    if name in group:
        array = _array(group, name)
        if array.chunks == chunks:
            if array.shape != shape:
                array.resize(shape)
            return array
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=[str(dim) for dim in dims],
        config={"write_empty_chunks": True},
        overwrite=True,
    )


def shorten_array(group: zarr.Group, name: str, shape: tuple[int, ...]) -> None:
    """Cut an array of a group to `shape`."""
    array = _array(group, name)
    if array.shape != shape:
        array.resize(shape)


def write_array(group: zarr.Group, name: str, dims: Sequence[object], values: Array) -> None:
    """Create the array `name` of a group and write its values."""
    is_text = values.dtype.kind in "TUO"
    chunks = chunk_shape(dims, values.shape, {} if len(dims) == 1 else _LONG)
    fill = math.nan if values.dtype.kind == "f" else None
    array = create_array(
        group, name, dims, values.shape, str if is_text else values.dtype, chunks, fill
    )
    if values.size:
        array[...] = values.astype(object) if is_text else values


def complete_group(group: zarr.Group, folder: Path, attributes: Mapping[str, Any]) -> None:
    """Complete a store that was written piece by piece.

    Writes the chunks that had no values yet, and replaces the attributes.
    """
    for file in folder.rglob("*.partial"):  # of a chunk whose writing was interrupted
        file.unlink()
    for name in sorted(group.array_keys()):
        array = _array(group, name)
        grid = [-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]
        for at in np.ndindex(*grid):
            if not (folder / name / "c").joinpath(*map(str, at)).exists():
                sizes = zip(at, array.chunks, array.shape, strict=True)
                region = tuple(slice(i * c, min(n, (i + 1) * c)) for i, c, n in sizes)
                array[region] = array.fill_value
    group.attrs.put(_as_json(attributes))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array that exists, set to write even those chunks that hold only its fill value.

    A missing chunk is the mark of a trace that was cut short.
    """
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        return cast("zarr.Array[Any]", group[name])


def _as_json(attributes: Mapping[str, Any]) -> JsonObject:
    """Return a copy of the attributes as JSON has them; raise `ValueError` for NaN or infinity."""
    return dict(json.loads(json.dumps(dict(attributes), allow_nan=False)))


def remove_groups(folder: Path) -> None:
    """Delete the optional groups of a store that is still being written."""
    shutil.rmtree(folder / GROUPS, ignore_errors=True)


def write_group(dataset: xr.Dataset, folder: Path) -> None:
    """Write a dataset as a Zarr group at `folder`, which does not exist."""
    group = create_group(folder, dataset.attrs)
    for name, variable in dataset.variables.items():
        write_array(group, str(name), variable.dims, np.asarray(variable.values))


def _pack(folder: Path, target: Path) -> None:
    """Pack the store into one uncompressed zip, its entries in a fixed order with a fixed date."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())
