"""Chunks that are written directly have the bytes that zarr itself writes."""

import math

import numpy as np
import pytest

from attentropy.engine.trace import store
from attentropy.engine.trace.whole_chunks import ChunkWriter

SHAPE, CHUNKS = (3, 5, 37), (1, 5, 16)


def _array(folder, name, dtype):
    group = store.open_group(folder)
    fill = -1 if np.issubdtype(dtype, np.integer) else math.nan
    return store.create_array(group, name, ("layer", "head", "query"), SHAPE, dtype, CHUNKS, fill)


def _files(folder):
    root = folder / "c"
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in root.rglob("*") if f.is_file()}


@pytest.fixture
def folder(tmp_path):
    store.create_group(tmp_path / "t.zarr", {})
    return tmp_path / "t.zarr"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
@pytest.mark.parametrize(
    ("rows", "is_direct"),
    [
        (slice(0, 16), True),
        (slice(16, 32), True),
        (slice(32, 37), True),  # the last chunk, of five rows
        (slice(0, 32), False),  # two chunks
        (slice(1, 16), False),
        (slice(8, 24), False),
        (slice(32, 36), False),
        (slice(16, 16), False),
    ],
)
def test_a_chunk_has_the_bytes_that_zarr_writes(folder, dtype, rows, is_direct, monkeypatch):
    random = np.random.default_rng(5)
    before, values = random.integers(-9, 9, (2, 5, 37)).astype(dtype)
    values = values[:, rows]
    zarrs, ours = _array(folder, "zarrs", dtype), _array(folder, "ours", dtype)
    zarrs[1] = ours[1] = before
    at = (1, slice(0, 5), rows)
    zarrs[at] = values
    if is_direct:
        monkeypatch.setattr(type(ours), "__setitem__", None)
    ChunkWriter(ours, folder / "ours").write(at, values)
    assert _files(folder / "ours") == _files(folder / "zarrs")
    expected = before.copy()
    expected[:, rows] = values
    np.testing.assert_array_equal(store.open_group(folder)["ours"][1], expected)


def test_dimensions_that_are_not_named_are_written_whole(folder):
    zarrs, ours = _array(folder, "zarrs", np.int32), _array(folder, "ours", np.int32)
    values = np.arange(5 * 37, dtype=np.int32).reshape(5, 37)
    zarrs[2] = values
    ChunkWriter(ours, folder / "ours").write((2,), values)
    assert _files(folder / "ours") == _files(folder / "zarrs")


def test_values_of_some_heads_leave_the_others_as_they_are(folder):
    array = _array(folder, "ours", np.float32)
    ChunkWriter(array, folder / "ours").write((0, slice(0, 3), slice(0, 16)), np.ones((3, 16)))
    assert np.isnan(array[0, 3:, :16]).all()
    assert (array[0, :3, :16] == 1).all()


def test_an_array_with_other_codecs_is_left_to_zarr(folder):
    import zarr
    from zarr.codecs import BloscCodec

    array = store.open_group(folder).create_array(
        "ours", shape=SHAPE, chunks=CHUNKS, dtype=np.float32, compressors=BloscCodec()
    )
    ChunkWriter(array, folder / "ours").write((2, slice(0, 5), slice(0, 16)), np.ones((5, 16)))
    assert (zarr.open_group(folder, mode="r")["ours"][2, :, :16] == 1).all()
