"""Stores that another process replaces or removes while they are read."""

import shutil

import numpy as np
import pytest

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks import files
from attentropy.engine.trace.checks.current import read_current
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from stores import pair
from traces import synthetic

GONE = "t.zarr was replaced or removed while it was read; open it again"


@pytest.fixture
def sides():
    words = [["What", " is", name, "?"] for name in (" Chad", " Mali")]
    return [
        synthetic(tokens, ["content"] * 4, layers=2, heads=2, window=False, seed=seed)
        for seed, tokens in enumerate(words)
    ]


def swap_at(monkeypatch, path, other, which):
    """Put `other` at `path` before a file is read: the one of this number."""
    reads, read = [], files._Folder.read

    def swapping(self, name):
        reads.append(name)
        if len(reads) == which:
            shutil.rmtree(path)
            shutil.copytree(other, path)
        return read(self, name)

    monkeypatch.setattr(files._Folder, "read", swapping)
    return reads


def count_reads(monkeypatch, path, read):
    with monkeypatch.context() as patch:
        reads = swap_at(patch, path, path, -1)
        read(path)
    return len(reads)


def what_is_read(path, read):
    """Return the values of a store that changes meanwhile, or that they are gone."""
    opened = read(path)
    try:
        return opened["entropy"].tobytes()
    except TraceError as error:
        return str(error)


def test_a_trace_that_is_replaced_at_any_read_is_opened_whole(sides, tmp_path, monkeypatch):
    path, other = sides[0].save(tmp_path / "t.zarr"), sides[1].save(tmp_path / "other.zarr")
    count = count_reads(monkeypatch, path, Trace.open)
    results = []
    for which in range(1, count + 1, 5):
        sides[0].save(path, force=True)
        with monkeypatch.context() as patch:
            swap_at(patch, path, other, which)
            results.append(what_is_read(path, Trace.open))
    assert len(results) > 5
    # Where all bytes that were still to be read are equal, the first trace was opened.
    assert set(results) <= {sides[1]["entropy"].tobytes(), GONE}
    assert results.count(GONE) < len(results) / 2


def test_a_comparison_that_is_replaced_while_it_is_read_is_opened(tmp_path, monkeypatch):
    first, second = pair(), pair(redacted=True)
    path, other = first.save(tmp_path / "t.zarr"), second.save(tmp_path / "other.zarr")
    count = count_reads(monkeypatch, path, Difference.open)
    for which in (1, count // 2):
        first.save(path, force=True)
        with monkeypatch.context() as patch:
            swap_at(patch, path, other, which)
            assert Difference.open(path).tokens == second.tokens


@pytest.mark.parametrize("is_replaced", [True, False])
def test_values_of_a_trace_that_is_gone_say_so(is_replaced, sides, tmp_path):
    path = sides[0].save(tmp_path / "t.zarr")
    opened = Trace.open(path)
    if is_replaced:
        sides[1].save(path, force=True)
    else:
        shutil.rmtree(path)
    with pytest.raises(TraceError, match=GONE):
        opened["entropy"]


def test_an_archive_that_is_replaced_stays_the_one_that_was_opened(sides, tmp_path):
    path = sides[0].save(tmp_path / "t.zarr.zip")
    opened = Trace.open(path)
    sides[1].save(path, force=True)
    np.testing.assert_array_equal(opened["entropy"], sides[0]["entropy"])


def test_a_trace_that_is_damaged_is_read_once(sides, tmp_path, monkeypatch):
    path = sides[0].save(tmp_path / "t.zarr")
    file = path / "token_ids" / "c" / "0"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    reads = swap_at(monkeypatch, path, path, -1)
    with pytest.raises(TraceError, match="token_ids are damaged"):
        Trace.open(path)
    assert reads.count("zarr.json") == 1


def test_a_place_that_changes_for_ever_is_given_up(tmp_path):
    attempts = []

    def read():
        attempts.append(None)
        (tmp_path / str(len(attempts))).mkdir()
        raise TraceError("t.zarr: damaged")

    with pytest.raises(TraceError, match="damaged"):
        read_current(tmp_path, read)
    assert 2 <= len(attempts) <= 50
