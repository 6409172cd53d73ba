"""Labelled arrays on disk: Zarr v3, read as data from a stranger, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError, UsageError

# One chunk holds one layer, all heads and this many queries or positions.
CHUNK_LENGTH = 4096
_LONG_DIMENSIONS = ("query", "position", "window_query")
_WHOLE_DIMENSIONS = ("head", "k", "window_head", "window_key", "chunk", "part", "outside")

_CODECS = {"bytes", "vlen-utf8", "zstd", "crc32c"}
_TYPES = {"float16", "float32", "int8", "int16", "int32", "int64", "uint8", "string"}
_MAX_BYTES = 64 * 2**30
_MAX_CHUNK_BYTES = 2**30
_MAX_METADATA_BYTES = 64 * 2**20


def read(
    path: Path, known: Mapping[str, tuple[tuple[str, ...], str]], form: str, version: int
) -> xr.Dataset:
    """The dataset in a Zarr v3 folder or zip, its arrays read when they are used.

    `known` names the arrays that may be there. Raises `TraceError` in one line.
    """
    if not path.exists():
        raise TraceError(f"no trace at {path.name!r}: no such file or folder")
    try:
        entries = _entries(path)
        group = _metadata(path, "zarr.json", entries)
        _check_group(path, group, form, version)
        arrays = sorted(
            name.split("/")[0] for name in entries if name.count("/") == 1 and _is_metadata(name)
        )
        unknown = [name for name in arrays if name not in known]
        if unknown:
            raise TraceError(f"{path.name}: unknown array {unknown[0][:40]!r} in the trace")
        total = sum(_check_array(path, name, entries) for name in arrays)
        if total > _MAX_BYTES:
            raise TraceError(f"{path.name}: the trace claims {total} bytes, refused")
        return _open(path)
    except TraceError:
        raise
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TraceError(f"{path.name}: not a readable trace ({reason})") from error


def write(dataset: xr.Dataset, path: Path, *, force: bool = False) -> Path:
    """Write `dataset` as a Zarr v3 folder (`.zarr`) or file (`.zarr.zip`), whole or not at all."""
    if not path.name.endswith((".zarr", ".zarr.zip")):
        raise UsageError(f"{path.name!r}: a trace is named NAME.zarr (folder) or NAME.zarr.zip")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
    if path.exists() and not force:
        raise UsageError(f"{path.name!r} exists; give --force to replace it")
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        folder = scratch / "trace.zarr"
        _write_folder(dataset, folder)
        whole = folder
        if path.name.endswith(".zip"):
            whole = scratch / "trace.zarr.zip"
            _pack(folder, whole)
        if path.is_dir() and not path.is_symlink():
            path.rename(scratch / "replaced")
        os.replace(whole, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path


def _write_folder(dataset: xr.Dataset, folder: Path) -> None:
    import zarr

    attributes = json.loads(json.dumps(dict(dataset.attrs), allow_nan=False))
    group = zarr.create_group(str(folder), zarr_format=3, attributes=attributes)
    for name, variable in dataset.variables.items():
        values = np.asarray(variable.values)
        is_text = values.dtype.kind in "TUO"
        array = group.create_array(
            str(name),
            shape=values.shape,
            chunks=_chunks(variable.dims, values.shape),
            dtype=str if is_text else values.dtype,
            fill_value=math.nan if values.dtype.kind == "f" else None,
            dimension_names=[str(dim) for dim in variable.dims],
            config={"write_empty_chunks": True},
        )
        if values.size:
            array[...] = values.astype(object) if is_text else values


def _chunks(dims: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    def length(dim: str, size: int) -> int:
        if len(dims) == 1 or dim in _WHOLE_DIMENSIONS:
            return size
        return min(size, CHUNK_LENGTH) if dim in _LONG_DIMENSIONS else 1

    return tuple(max(1, length(str(dim), size)) for dim, size in zip(dims, shape, strict=True))


def _pack(folder: Path, target: Path) -> None:
    """One uncompressed zip of the store, entries in a fixed order with a fixed date."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())


def _entries(path: Path) -> dict[str, int]:
    """Name and size in bytes of every file of the store; refuses names that lead out of it."""
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file()]
        if any(not p.resolve().is_relative_to(path.resolve()) for p in files):
            raise TraceError(f"{path.name}: the trace links to files outside of it, refused")
        return {p.relative_to(path).as_posix(): p.stat().st_size for p in files}
    if not zipfile.is_zipfile(path):
        raise TraceError(f"{path.name}: not a trace, or cut short (no whole zip archive)")
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise TraceError(f"{path.name}: the same entry twice in the archive, refused")
    for info in infos:
        parts = Path(info.filename).parts
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
            raise TraceError(f"{path.name}: an archive entry leads out of the trace, refused")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            raise TraceError(f"{path.name}: a compressed or encrypted archive entry, refused")
    return {info.filename: info.file_size for info in infos if not info.is_dir()}


def _is_metadata(name: str) -> bool:
    return name.endswith("/zarr.json")


def _metadata(path: Path, name: str, entries: Mapping[str, int]) -> dict[str, Any]:
    if name not in entries:
        raise TraceError(f"{path.name}: not a Zarr v3 trace (no {name})")
    if entries[name] > _MAX_METADATA_BYTES:
        raise TraceError(f"{path.name}: {name} is too large, refused")
    if path.is_dir():
        text = (path / name).read_bytes()
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(name)
    metadata = json.loads(text)
    if not isinstance(metadata, dict) or metadata.get("zarr_format") != 3:
        raise TraceError(f"{path.name}: {name} is not Zarr v3")
    return metadata


def _check_group(path: Path, group: Mapping[str, Any], form: str, version: int) -> None:
    attributes = group.get("attributes")
    if not isinstance(attributes, dict) or attributes.get("format") != form:
        raise TraceError(f"{path.name}: not a trace of attentropy")
    found = attributes.get("format_version")
    if not isinstance(found, int) or found < 1:
        raise TraceError(f"{path.name}: the trace has no format version")
    if found > version:
        raise TraceError(
            f"{path.name}: trace format {found} is newer than this version reads ({version}); "
            "update attentropy"
        )


def _check_array(path: Path, name: str, entries: Mapping[str, int]) -> int:
    """Bytes that the array takes in memory; refuses unknown codecs and types, missing chunks."""
    metadata = _metadata(path, f"{name}/zarr.json", entries)
    codecs = {codec.get("name") for codec in metadata["codecs"]}
    if not codecs <= _CODECS:
        raise TraceError(f"{path.name}: {name} uses an unknown codec, refused")
    kind = metadata["data_type"]
    if kind not in _TYPES:
        raise TraceError(f"{path.name}: {name} has an unknown type, refused")
    if metadata.get("storage_transformers") or metadata["chunk_grid"]["name"] != "regular":
        raise TraceError(f"{path.name}: {name} is stored in a way no trace is, refused")
    shape = metadata["shape"]
    chunks = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, *chunks)) or 0 in chunks:
        raise TraceError(f"{path.name}: {name} has an impossible shape, refused")
    if len(shape) != len(chunks) or len(shape) != len(metadata["dimension_names"]):
        raise TraceError(f"{path.name}: {name} has an impossible shape, refused")
    width = 8 if kind == "string" else np.dtype(kind).itemsize
    if math.prod(chunks) * width > _MAX_CHUNK_BYTES:
        raise TraceError(f"{path.name}: {name} has chunks over 1 GiB, refused")
    grid = [math.ceil(n / c) for n, c in zip(shape, chunks, strict=True)]
    stored = sum(1 for entry in entries if entry.startswith(f"{name}/c/"))
    if stored < math.prod(grid):
        raise TraceError(
            f"{path.name}: the trace is cut short: {name} has {stored} of {math.prod(grid)} chunks"
        )
    return math.prod(shape) * width


def _open(path: Path) -> xr.Dataset:
    from zarr.storage import LocalStore, ZipStore

    source = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    return xr.open_dataset(
        source,  # type: ignore[arg-type]
        engine="zarr",
        consolidated=False,
        chunks=None,
        mask_and_scale=False,
        decode_times=False,
    )
