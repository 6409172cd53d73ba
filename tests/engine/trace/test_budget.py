"""What a trace can make its reader do is bounded by its size; the tests count cells and bytes."""

import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import zarr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import lazy
from attentropy.engine.trace.checks import budget, files, metadata
from attentropy.engine.trace.checks.arrays import ArrayMetadata
from attentropy.engine.trace.checks.chunks import CheckedStore
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import TRACE
from attentropy.report.cli import main
from long_traces import long
from traces import reseal, synthetic


@pytest.fixture(scope="module")
def saved_trace(tmp_path_factory):
    return synthetic(layers=2, heads=2).save(tmp_path_factory.mktemp("made") / "t.zarr")


@pytest.fixture
def folder(saved_trace, tmp_path):
    return shutil.copytree(saved_trace, tmp_path / "t.zarr")


def grow(folder, names, dim, size, value=0):
    """Write arrays again with another length of a dimension, all of their values alike."""
    for name in names:
        array = zarr.open_array(str(folder / name), mode="r")
        dims = array.metadata.dimension_names
        shape = [size if own == dim else n for own, n in zip(dims, array.shape, strict=True)]
        chunks = [1 if own == "layer" and len(dims) > 1 else n
                  for own, n in zip(dims, shape, strict=True)]  # fmt: skip
        dtype = array.dtype
        shutil.rmtree(folder / name)
        written = zarr.create_array(
            str(folder / name), shape=shape, chunks=chunks, dtype=dtype, dimension_names=dims,
            config={"write_empty_chunks": True},
        )  # fmt: skip
        written[...] = (
            np.arange(size, dtype=dtype) if dims == (name,) else np.full(shape, value, dtype)
        )
    reseal(folder)
    return folder


@pytest.fixture
def unpacked(monkeypatch):
    """Return the list of sizes that chunks unpack to, which grows as they are read."""
    sizes = []
    checking = CheckedStore._checked_size

    def check(self, *arguments):
        sizes.append(checking(self, *arguments))
        return sizes[-1]

    monkeypatch.setattr(CheckedStore, "_checked_size", check)
    return sizes


def of_heads(folder, heads):
    names = [p.parent.name for p in folder.glob("*/zarr.json")
             if "head" in json.loads(p.read_text())["dimension_names"]]  # fmt: skip
    return grow(folder, names, "head", heads)


def test_a_small_file_with_very_many_heads_is_refused_before_anything_is_unpacked(
    folder, unpacked, capsys
):
    of_heads(folder, 60_000)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert size < 10**6
    for command in (["info"], ["render", "-o", "-"], ["export", "-o", "-", "--format", "csv"]):
        assert main([command[0], str(folder), *command[1:]]) == 1
        error = capsys.readouterr().err
        assert "cells, too many for its size" in error
        assert "--max-cells" in error
        assert error.count("\n") == 1
    assert main(["compare", str(folder), str(folder), "-o", "-"]) == 1
    assert sum(unpacked) == 0


def test_what_is_refused_opens_with_the_cells_that_the_message_names(folder, capsys, monkeypatch):
    monkeypatch.setattr(budget, "_FREE", 10)
    monkeypatch.setattr(budget, "_PER_BYTE", 0)
    assert main(["info", str(folder)]) == 1
    cells = capsys.readouterr().err.split("--max-cells ")[1].strip()
    assert main(["info", str(folder), "--max-cells", cells]) == 0
    assert main(["info", str(folder), "--max-cells", str(int(cells) - 1)]) == 1
    assert Trace.open(folder, max_cells=int(cells)).prompt_tokens == 17


@pytest.mark.parametrize(
    ("dim", "size"),
    [("window_key", 3 * 10**6), ("position", 10**6), ("vocabulary", 10**6), ("k", 10**7)],
)
def test_other_dimensions_are_bounded_too(folder, dim, size, unpacked):
    for file in sorted(folder.glob("*/zarr.json")):
        described = json.loads(file.read_text())
        dims = described["dimension_names"]
        if dim in dims:
            at, lengths = dims.index(dim), described["chunk_grid"]["configuration"]["chunk_shape"]
            described["shape"][at] = lengths[at] = size
            file.write_text(json.dumps(described))
    reseal(folder)
    with pytest.raises(TraceError, match=r"too many for its size|chunks over 1 GiB"):
        Trace.open(folder)
    assert not unpacked


def test_bytes_that_are_no_chunks_or_holes_pay_for_nothing(folder):
    of_heads(folder, 2000)
    (folder / "pad").write_bytes(os.urandom(10_000))
    chunk = folder / "entropy" / "c" / "0" / "0" / "0"
    before = metadata.inspect(folder, TRACE)
    stored = metadata._stored(before.files, _arrays(folder))
    assert "pad" not in stored
    with open(chunk, "ab") as file:
        file.truncate(6 * 2**30)
    after = metadata._stored(metadata.open_files(folder), _arrays(folder))
    assert sum(after.values()) < sum(stored.values()) + 10**6
    (folder / "written.json").unlink()
    with pytest.raises(TraceError):
        Trace.open(folder)["entropy"]


def _arrays(folder):
    return {
        name: ArrayMetadata("t", name, json.loads((folder / name / "zarr.json").read_text()), dims)
        for name, (dims, _) in TRACE.schema.items()
        if (folder / name).is_dir()
    }


def test_a_file_larger_than_its_chunk_can_be_is_not_read(folder, monkeypatch):
    chunk = folder / "entropy" / "c" / "0" / "0" / "0"
    with open(chunk, "ab") as file:
        file.truncate(6 * 2**30)
    trace = Trace.open(folder)
    read = []
    monkeypatch.setattr(
        "attentropy.engine.trace.checks.files.read_regular",
        lambda path, most, **_: read.append(path) or path.read_bytes(),
    )
    with pytest.raises(TraceError, match=r"entropy are damaged .wrong size"):
        trace["entropy"]
    assert chunk not in read


def test_a_chunk_of_several_layers_which_each_layer_would_unpack_is_refused(folder):
    entropy = zarr.open_array(str(folder / "entropy"), mode="r")
    values, dims = entropy[...], entropy.metadata.dimension_names
    shutil.rmtree(folder / "entropy")
    zarr.create_array(
        str(folder / "entropy"), data=values, chunks=values.shape, dimension_names=dims,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    reseal(folder)
    with pytest.raises(TraceError, match="entropy has several layers in one chunk"):
        Trace.open(folder)


@pytest.mark.parametrize("storage", ["folder", "zip"])
@pytest.mark.costly
def test_a_long_trace_stays_under_its_budget_and_is_unpacked_a_few_times(
    tmp_path, storage, unpacked
):
    path = long(4096, layers=8, heads=8, thumbnails=True).save(
        tmp_path / ("t.zarr" if storage == "folder" else "t.zarr.zip")
    )
    contents = metadata.inspect(path, TRACE)
    work = budget.work_of(_claimed(contents))
    assert work.of_model < budget._FREE_MODEL / 10
    assert work.of_values < budget._FREE + budget._PER_BYTE * path_bytes(path)
    assert main(["render", str(path), "-o", str(tmp_path / "p.html")]) == 0
    assert sum(unpacked) < 8 * sum(array.bytes for array in _claimed(contents))


def _claimed(contents):
    return [
        ArrayMetadata("t", name, contents.metadata[name], TRACE.schema[name][0])
        for name in contents.claims
    ]


def path_bytes(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


def test_an_archive_is_opened_once_and_a_folder_listed_once(tmp_path, monkeypatch):
    path = synthetic(layers=2, heads=2).save(tmp_path / "t.zarr.zip")
    opened, listed = [], []
    opening, listing = zipfile.ZipFile.__init__, files.list_folder
    monkeypatch.setattr(
        zipfile.ZipFile,
        "__init__",
        lambda self, *a, **k: opened.append(a) or opening(self, *a, **k),
    )
    trace = Trace.open(path)
    for name in trace.keys():  # noqa: SIM118
        trace[name]
    assert len(opened) == 1
    folder = trace.save(tmp_path / "t.zarr")
    monkeypatch.setattr(files, "list_folder", lambda path: listed.append(path) or listing(path))
    trace = Trace.open(folder)
    for name in trace.keys():  # noqa: SIM118
        trace[name]
    assert len(listed) == 1


def test_an_open_trace_can_be_copied_and_its_store_sent_to_another_process(tmp_path):
    for name in ("t.zarr", "t.zarr.zip"):
        path = synthetic(layers=2, heads=2).save(tmp_path / name)
        trace = Trace.open(path)
        copied = trace.dataset.copy(deep=True)
        np.testing.assert_array_equal(copied["entropy"], trace["entropy"])
        sent = pickle.loads(pickle.dumps(metadata.inspect(path, TRACE)))
        opened = lazy.open_datasets(sent)[""]
        np.testing.assert_array_equal(opened["entropy"], trace["entropy"])
