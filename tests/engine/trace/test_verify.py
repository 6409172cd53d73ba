"""All values of a trace are checked by `verify`, and a sample of them as it is opened."""

import shutil

import numpy as np
import pytest
import zarr

from attentropy.engine.trace import lazy
from attentropy.engine.trace.checks import sample
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.ranges import SOURCE_RANGES
from attentropy.engine.trace.schema import COORDINATES
from attentropy.engine.trace.sources import GROUP
from changed_values import set_value, verify_values
from complete import complete
from traces import save_synthetic


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return complete(profile=True).save(tmp_path_factory.mktemp("made") / "t.zarr")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "t.zarr")


def test_verify_names_all_faults_and_counts_what_it_checked(folder):
    trace = Trace.open(folder)
    numbers = [one for one in trace.dataset.variables.values() if one.dtype.kind in "fiu"]
    own = [one for name, one in trace.sources.variables.items() if name in SOURCE_RANGES]
    result = trace.verify()
    assert result
    assert result.lines == []
    assert result.values == sum(one.size for one in (*numbers, *own))
    array = zarr.open_array(str(folder / "entropy"), mode="r+")
    array[...] = np.full(array.shape, -5.0)
    set_value(folder, f"{GROUP}/attention_mass", 2, 1.5)
    result = verify_values(folder)
    assert not result
    assert result.lines[0] == "entropy is -5 at layer 0, head 0, query 0, below 0"
    assert "entropy: 60 more" in result.lines
    assert "sources/attention_mass is 1.5 at span 2, above 1" in result.lines
    first = result.faults[0]
    assert (first.variable, first.index, first.value, first.bound) == ("entropy", (0, 0, 0), -5, 0)


def test_verify_reads_every_chunk_once_and_holds_one_block(tmp_path, monkeypatch):
    path = save_synthetic(tmp_path / "t.zarr", layers=4, heads=2)
    blocks = []
    read = lazy._StoredArray._read

    def counted(array, key):
        values = read(array, key)
        blocks.append((array._name, values.size))
        return values

    monkeypatch.setattr("attentropy.engine.trace.verify._BLOCK", 64)
    monkeypatch.setattr(lazy._StoredArray, "_read", counted)
    trace = Trace.open(path)
    blocks.clear()
    assert trace.verify().values == sum(
        one.size for one in trace.dataset.variables.values() if one.dtype.kind in "fiu"
    )
    whole = trace.dataset["window"]
    assert sum(size for name, size in blocks if name == "window") == whole.size
    assert max(size for name, size in blocks if name == "window") == whole[0].size  # a chunk
    assert trace.dataset["window"].variable._in_memory is False


def test_a_variable_that_is_damaged_is_a_fault_and_the_others_are_checked(folder):
    chunk = folder / "distance" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    _, result = Trace.open(folder), verify_values(folder)
    assert not result
    assert [line for line in result.lines if "distance are damaged" in line] == result.lines


def test_opening_reads_as_much_of_a_long_trace_as_of_a_short_one(tmp_path, monkeypatch):
    reads = []
    read = lazy._StoredArray._read

    def counted(array, key):
        values = read(array, key)
        if array._name not in COORDINATES:
            reads.append(values.nbytes)
        return values

    monkeypatch.setattr(lazy._StoredArray, "_read", counted)
    counts = []
    for layers in (3, 40):
        reads.clear()
        Trace.open(save_synthetic(tmp_path / f"{layers}.zarr", layers=layers, heads=2))
        counts.append(len(reads))
        assert sum(reads) <= sample.ALL_BYTES
    assert counts[0] == counts[1] <= 2 * len(sample._OTHERS)


def test_a_trace_in_memory_is_verified_too():
    trace = complete()
    assert trace.verify()
    data = trace.dataset.copy(deep=True)
    data["max_prob"].values[1, 0, 4] = 2
    assert Trace(data).verify().lines == ["max_prob is 2 at layer 1, head 0, query 4, above 1"]


@pytest.mark.parametrize("value", [-1, -5, -(2**31)])
def test_queries_that_see_fewer_than_no_keys_are_a_fault_at_their_place(folder, value):
    set_value(folder, "visible", (0, -1), value)
    lines = verify_values(folder).lines
    assert lines[0].startswith("visible")
