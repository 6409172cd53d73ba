"""Labelled arrays on disk: Zarr v3, read as data from a stranger, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace import lazy
from attentropy.engine.trace.checks.metadata import UNREADABLE, inspect, reason
from attentropy.engine.trace.digests import seal

# One chunk holds one layer or site, all heads and this many queries or positions.
CHUNK_LENGTH = 4096
_LONG = dict.fromkeys(("query", "position", "window_query"), CHUNK_LENGTH)
_SINGLE = ("layer", "site")


def read(
    path: Path,
    known: Mapping[str, tuple[tuple[str, ...], str]],
    form: str,
    version: int,
    *,
    partial: bool = False,
) -> xr.Dataset:
    """The dataset in a Zarr v3 folder or zip, its arrays read when they are used.

    `known` names the arrays that may be there; `partial`: some of their chunks need not be.
    Raises `TraceError` in one line.
    """
    if not path.exists():
        raise TraceError(f"no trace at {path.name!r}: no such file or folder")
    try:
        claims, sealed = inspect(path, known, form, version, partial=partial)
        return lazy.dataset(path, claims, sealed)
    except TraceError:
        raise
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise TraceError(f"{path.name}: not a readable trace ({reason(error)})") from error


def write(dataset: xr.Dataset, path: Path, *, force: bool = False) -> Path:
    """Write `dataset` as a Zarr v3 folder (`.zarr`) or file (`.zarr.zip`), whole or not at all."""
    check_target(path, force=force)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        folder = scratch / "trace.zarr"
        _write_folder(dataset, folder)
        place(folder, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path


def check_target(path: Path, *, force: bool) -> None:
    """Raise `UsageError` where no trace could be put at `path`."""
    if not path.name.endswith((".zarr", ".zarr.zip")):
        raise UsageError(f"{path.name!r}: a trace is named NAME.zarr (folder) or NAME.zarr.zip")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
    if path.exists() and not force:
        raise UsageError(f"{path.name!r} exists; give --force to replace it")


def place(folder: Path, path: Path) -> None:
    """Put the whole trace in `folder` to `path`, packed where that is a `.zip`, in one step.

    What is at `path` is replaced; the folder that holds `folder` is scratch space.
    """
    whole = folder
    seal(folder)
    if path.name.endswith(".zip"):
        whole = folder.with_name("trace.zarr.zip")
        _pack(folder, whole)
    if path.is_dir() and not path.is_symlink():
        path.rename(folder.with_name("replaced"))
    os.replace(whole, path)


def begin(folder: Path, attributes: Mapping[str, Any]) -> Any:
    """A new Zarr group at `folder` that has attributes and no array yet."""
    import zarr

    return zarr.create_group(str(folder), zarr_format=3, attributes=_plain(attributes))


def opened(folder: Path) -> Any:
    """The Zarr group at `folder`, to write into."""
    import zarr

    return zarr.open_group(str(folder), mode="r+", zarr_format=3)


def create(
    group: Any,
    name: str,
    dims: Sequence[Any],
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...],
    fill: float | int | None,
) -> Any:
    """The array `name` of a group, made with no chunk yet; as it is, where it is there already."""
    if name in group:
        found = _array(group, name)
        if (found.shape, found.chunks) == (shape, chunks):
            return found
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


def add(group: Any, name: str, dims: Sequence[Any], values: np.ndarray) -> None:
    """An array with its values."""
    is_text = values.dtype.kind in "TUO"
    chunks = chunk_shape(dims, values.shape, {} if len(dims) == 1 else _LONG)
    fill = math.nan if values.dtype.kind == "f" else None
    array = create(group, name, dims, values.shape, str if is_text else values.dtype, chunks, fill)
    if values.size:
        array[...] = values.astype(object) if is_text else values


def finish(group: Any, folder: Path, attributes: Mapping[str, Any]) -> None:
    """Make a folder that was written piece by piece a whole trace: the attributes it ends with,
    and the chunks that nobody had values for."""
    for file in folder.rglob("*.partial"):  # of a chunk whose writing was cut short
        file.unlink()
    for name in sorted(group.array_keys()):
        array = _array(group, name)
        for at in np.ndindex(*(math.ceil(n / c) for n, c in zip(
            array.shape, array.chunks, strict=True))):  # fmt: skip
            if not (folder / name / "c").joinpath(*map(str, at)).exists():
                rows = zip(at, array.chunks, array.shape, strict=True)
                array[tuple(slice(i * c, min(n, (i + 1) * c)) for i, c, n in rows)] = (
                    array.fill_value
                )
    group.attrs.put(_plain(attributes))


def _array(group: Any, name: str) -> Any:
    """An array that is there; chunks that hold nothing but its fill value are written like others,
    since a chunk that is missing is what a trace that was cut short has."""
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        return group[name]


def chunk_shape(
    dims: Sequence[Any], shape: Sequence[int], lengths: Mapping[str, int]
) -> tuple[int, ...]:
    """Of an array: one layer or site a chunk, `lengths` along the dimensions they name, and all
    of the others."""
    single = len(dims) > 1

    def length(dim: str, size: int) -> int:
        if dim in _SINGLE and single:
            return 1
        return max(1, min(size, lengths.get(dim, size)))

    return tuple(length(str(dim), size) for dim, size in zip(dims, shape, strict=True))


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(attributes), allow_nan=False)))


def _write_folder(dataset: xr.Dataset, folder: Path) -> None:
    group = begin(folder, dataset.attrs)
    for name, variable in dataset.variables.items():
        add(group, str(name), variable.dims, np.asarray(variable.values))


def _pack(folder: Path, target: Path) -> None:
    """One uncompressed zip of the store, entries in a fixed order with a fixed date."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())
