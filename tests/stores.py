"""Every kind of store that a command may be given, good and bad, on a disk."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import zarr

from attentropy.engine.trace import store
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import Difference, compare
from traces import reseal, synthetic

NAMES = ("one.zarr", "other.zarr.zip")


def pair(*, redacted: bool = False) -> Difference:
    """Return the comparison of two small traces with the same tokens."""
    sides = [synthetic(layers=2, heads=2, window=False, seed=seed) for seed in (0, 1)]
    return compare(*sides, NAMES, redact=redacted)


def edit(folder: Path, change) -> None:
    """Change the metadata of a store's group, and complete the store."""
    file = folder / "zarr.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))
    reseal(folder)


def _newer(folder: Path) -> Path:
    edit(folder, lambda m: m["attributes"].update(format_version=99))
    return folder


def _truncated(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def _partial(folder: Path, trace: Trace) -> Path:
    saved = trace.save(folder / "saved.zarr")
    (saved / "written.json").unlink()
    run = PartialTrace(folder / "t.zarr")
    run.begin({"tokens": 17, "chunk": 9}, lambda target: shutil.copytree(saved, target))
    shutil.rmtree(saved)
    return run.folder


def as_version_2_saved(difference: Difference, path: Path) -> Path:
    """Write a comparison as version 2 did: its variables alone, as if they were recorded."""
    form = {"format": "attentropy.trace", "format_version": 2}
    store.write_datasets({"": difference.dataset.drop_attrs().assign_attrs(form)}, path)
    return path


def _negative(path: Path, trace: Trace) -> Path:
    dataset = trace.dataset.copy(deep=True)
    for name in ("entropy", "lens_entropy"):
        dataset[name].values[..., 3] = -0.28
    return Trace(dataset).save(path)


def _foreign(folder: Path) -> Path:
    group = zarr.create_group(str(folder), zarr_format=3)
    group.create_array("data", data=np.arange(3.0))
    return folder


def _foreign_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    return path


def make_stores(folder: Path) -> dict[str, Path]:
    """Write one store of each kind and return their paths by kind; "trace" is the first."""
    trace = synthetic(layers=2, heads=2, window=False, seed=0)
    both, marked = pair(), pair(redacted=True)
    return {
        "trace": trace.save(folder / "t.zarr"),
        "zipped trace": trace.save(folder / "t.zarr.zip"),
        "partial": _partial(folder, trace),
        "redacted trace": redact(trace).save(folder / "redacted.zarr"),
        "comparison": both.save(folder / "d.zarr"),
        "zipped comparison": both.save(folder / "d.zarr.zip"),
        "redacted comparison": marked.save(folder / "dr.zarr.zip"),
        "version 2 comparison": as_version_2_saved(both, folder / "old.zarr"),
        "negative": _negative(folder / "negative.zarr", trace),
        "foreign": _foreign(folder / "foreign.zarr"),
        "zipped foreign": _foreign_zip(folder / "foreign.zarr.zip"),
        "truncated trace": _truncated(trace.save(folder / "cut.zarr.zip")),
        "truncated comparison": _truncated(both.save(folder / "cutd.zarr.zip")),
        "newer trace": _newer(trace.save(folder / "new.zarr")),
        "newer comparison": _newer(both.save(folder / "newd.zarr")),
        "absent": folder / "absent.zarr",
    }
