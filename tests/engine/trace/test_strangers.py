"""An unsafe trace is refused by name, in one line, before memory is allocated for it."""

import json
import os
import shutil

import numpy as np
import pytest
import zarr
from numcodecs.zstd import Zstd

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import digests as seal
from attentropy.engine.trace import store
from attentropy.engine.trace.checks import budget
from attentropy.engine.trace.checks import files as listing
from attentropy.engine.trace.checks.chunks import frame_bytes
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import stored_dataset
from refused_traces import archive_of, assert_refused
from traces import reseal, synthetic


def _edit(folder, name, change):
    file = folder / name / "zarr.json" if name else folder / "zarr.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))


def _copies(metadata):
    return metadata["consolidated_metadata"]["metadata"]


def _attribute(**values):
    return lambda m: m["attributes"].update(values)


DEEP: list = []
for _ in range(60):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("entropy", lambda m: m.update(codecs=[{"name": "numcodecs.pickle"}]), "numcodecs.pickle"),
        ("entropy", lambda m: m["codecs"].append({"name": "blosc"}), "unknown codec 'blosc'"),
        ("entropy", lambda m: m["codecs"].append({"name": "crc32c"}), "unknown codec 'crc32c'"),
        ("entropy", lambda m: m["codecs"].append(m["codecs"][1]), "codecs that no trace uses"),
        ("entropy", lambda m: m["codecs"].reverse(), "codecs that no trace uses"),
        ("entropy", lambda m: m["codecs"][0].update(name="vlen-utf8"), "codecs that no trace uses"),
        ("entropy", lambda m: m["codecs"][0]["configuration"].update(endian="big"), "codecs"),
        ("entropy", lambda m: m["codecs"][1]["configuration"].update(extra=1), "codecs"),
        ("entropy", lambda m: m["codecs"].append("zstd"), "not a readable trace"),
        ("entropy", lambda m: m.update(codecs=[]), "codecs that no trace uses"),
        ("entropy", lambda m: m.update(data_type={"name": "struct"}), "unknown data type"),
        ("entropy", lambda m: m.update(node_type="group"), "not stored as in a trace"),
        ("entropy", lambda m: m.update(must_understand=True), "not stored as in a trace"),
        ("entropy", lambda m: m.update(attributes={"a": 1}), "not stored as in a trace"),
        ("entropy", lambda m: m.update(storage_transformers=[{}]), "not stored as in a trace"),
        ("entropy", lambda m: m["chunk_grid"].update(name="rectangular"), "as in a trace"),
        (
            "entropy",
            lambda m: m["chunk_key_encoding"].update(name="v2"),
            "entropy is not stored as in a trace",
        ),
        ("entropy", lambda m: m["shape"].__setitem__(0, 2**62), "impossible shape"),
        ("entropy", lambda m: m["shape"].__setitem__(0, True), "impossible shape"),
        ("entropy", lambda m: m["shape"].__setitem__(2, 2**40), "truncated"),
        ("entropy", lambda m: m["shape"].__setitem__(2, 2**20), "truncated"),
        ("entropy", lambda m: m["shape"].pop(), "impossible shape"),
        ("", _attribute(profile=DEEP), "nested too deep"),
        ("", _attribute(notes=["x" * 5_000_000]), "too large"),
        ("", lambda m: m.update(consolidated_metadata={"metadata": {}}), "own metadata differ"),
        ("", lambda m: m.update(consolidated_metadata=[1]), "own metadata differ"),
        ("", lambda m: m["consolidated_metadata"].update(must_understand=0), "metadata differ"),
        ("", lambda m: _copies(m).pop("entropy"), "own metadata differ"),
        ("", lambda m: _copies(m).update(extra=_copies(m)["entropy"]), "own metadata differ"),
        ("", lambda m: _copies(m)["entropy"].update(data_type="float16"), "own metadata differ"),
        ("", lambda m: _copies(m)["entropy"]["shape"].__setitem__(0, 3), "own metadata differ"),
        ("", lambda m: m.update(evil=1), "its group is not stored"),
        ("", lambda m: m.update(node_type="array"), "its group is not stored"),
        ("", _attribute(model=["a"]), "attribute 'model'"),
        ("", _attribute(notes="a"), "attribute 'notes'"),
        ("", _attribute(answer={"a": 1}), "attribute 'answer'"),
        ("", _attribute(options={"a": 10**30}), "out of range"),
        ("", _attribute(format_version=True), "no format version"),
    ],
)  # fmt: skip
def test_what_no_trace_claims_is_refused_by_name(folder, name, change, message):
    _edit(folder, name, change)
    seal.seal(folder)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"zarr_format": 3, "attributes": ' + b"[" * 200_000, "nested too deep"),
        (b'{"zarr_format": 3, "a": NaN}', "NaN is not a JSON number"),
        (b'{"zarr_format": 3, "a": 1e999}', "1e999 is not a JSON number"),
        (b'{"zarr_format": 3, "a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[]", "not Zarr v3"),
        (b"\xff\xfe", "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_metadata_that_is_none_is_refused(folder, text, message):
    (folder / "zarr.json").write_bytes(text)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("role", ["content"] * 16 + ["<script>"], "unknown role '<script>'"),
        ("site", ["elsewhere"], "unknown site"),
        ("position", np.arange(17)[::-1], "position do not fit"),
        ("window_key", np.arange(17) + 5, "window_key do not fit"),
        ("layer", [-3, 1], "layer do not fit"),
    ],
)
def test_coordinates_that_do_not_fit_are_refused(folder, name, values, message):
    array = zarr.open_array(str(folder / name), mode="r+")
    array[...] = np.array(values, object if name in ("role", "site") else array.dtype)
    seal.seal(folder)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("values", "starts", "message"),
    [
        (np.zeros((2, 2, 2, 2), np.uint8), [0, 9], None),
        (np.zeros((2, 2, 2, 2), np.int32), [0, 9], "thumbnail must be bytes"),
        (np.zeros((2, 2, 40, 40), np.uint8), range(40), "thumbnail must be bytes"),
        (np.zeros((2, 2, 0, 0), np.uint8), [], "thumbnail must be bytes"),
        (np.zeros((2, 2, 2, 2), np.uint8), [0, 17], "tile_. do not fit"),
        (np.zeros((2, 2, 2, 2), np.uint8), [5, 9], "tile_. do not fit"),
        (np.zeros((2, 2, 2, 2), np.uint8), None, "thumbnail but not tile_q"),
    ],
)
def test_thumbnails_that_are_none_are_refused(tmp_path, values, starts, message):
    dataset = synthetic(layers=2, heads=2).dataset
    dataset = dataset.assign(thumbnail=(("layer", "head", "tile_q", "tile_k"), values))
    if starts is not None:
        tiles = np.array([*starts], np.int32)
        dataset = dataset.assign_coords(tile_q=tiles, tile_k=tiles)
    path = tmp_path / "t.zarr"
    store.write_datasets({"": stored_dataset(Trace(dataset))}, path)
    if message is None:
        np.testing.assert_array_equal(Trace.open(path)["thumbnail"], values)
    else:
        assert_refused(path, message)


@pytest.mark.parametrize("name", ["rehearsal_ids", "visible", "target_ids", "vocabulary_text"])
def test_an_array_that_others_need_is_missed_by_name(folder, name):
    shutil.rmtree(folder / name)
    reseal(folder)
    assert_refused(folder, f"without {name}|{name}")


def test_a_text_in_many_pieces_or_a_chunk_that_claims_more_is_refused_before_it_is_unpacked(folder):
    chunk = folder / "token_text" / "c" / "0"
    many = bytearray(Zstd().decode(chunk.read_bytes()))
    many[:4] = (2**31).to_bytes(4, "little")
    chunk.write_bytes(Zstd().encode(bytes(many)))
    seal.seal(folder)
    assert_refused(folder, "token_text are damaged .wrong number", "token_text")
    chunk.write_bytes(Zstd().encode(bytes(2**27)))
    seal.seal(folder)
    assert_refused(folder, "token_text are damaged .wrong size", "token_text")
    other = folder / "entropy" / "c" / "0" / "0" / "0"
    whole = other.read_bytes()
    for bad in (Zstd().encode(bytes(2**20)), whole + whole, whole[:-1], b"PK", b""):
        shutil.copytree(folder, folder.parent / "u.zarr")
        shutil.copy(chunk.parents[2] / "role" / "c" / "0", folder.parent / "u.zarr/token_text/c/0")
        (folder.parent / "u.zarr" / "entropy/c/0/0/0").write_bytes(bad)
        seal.seal(folder.parent / "u.zarr")
        assert_refused(folder.parent / "u.zarr", "entropy are damaged .wrong size", "entropy")
        shutil.rmtree(folder.parent / "u.zarr")


def test_a_frame_says_its_size_and_is_one():
    for size in (0, 1, 255, 256, 65_791, 65_792, 300_000):
        for checksum in (False, True):
            frame = bytes(
                Zstd(checksum=checksum).encode(os.urandom(size // 2) + bytes(-(-size // 2)))
            )
            assert frame_bytes(frame) == size
            assert frame_bytes(frame + b"x") is None
            assert frame_bytes(frame + frame) is None
            assert all(frame_bytes(frame[:cut]) is None for cut in range(min(len(frame), 24)))


def test_little_that_claims_to_be_much_is_refused(folder, monkeypatch):
    monkeypatch.setattr(budget, "_FREE", 1000)
    monkeypatch.setattr(budget, "_PER_BYTE", 0)
    assert_refused(folder, "cells, too many for its size")


def test_more_files_than_any_trace_has_are_refused(folder, monkeypatch, tmp_path):
    archive = Trace.open(folder).save(tmp_path / "u.zarr.zip")
    monkeypatch.setattr(listing, "MAX_FILES", 20)
    monkeypatch.setattr(listing, "_MAX_DIRECTORY_BYTES", 2000)
    assert_refused(folder, "more than 20 files")
    assert_refused(archive, "more than 20 files")


@pytest.mark.parametrize("at", ["entropy/c/9", "entropy/c", "evil"])
@pytest.mark.parametrize("to", ["/etc/hostname", "/etc", "../..", "zarr.json"])
def test_a_link_in_a_folder_is_refused(folder, at, to):
    place = folder / at
    if place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(to)
    assert_refused(folder, "contains a link")


def test_what_is_neither_a_file_nor_a_folder_is_refused(folder):
    os.mkfifo(folder / "entropy" / "c" / "pipe")
    assert_refused(folder, "something other than files and folders")


def test_folders_within_folders_without_end_are_refused(folder):
    (folder / "entropy" / "/".join("abcdefghij")).mkdir(parents=True)
    assert_refused(folder, "something other than files and folders|nested")


@pytest.mark.parametrize("name", ["t.zarr", "u.zarr.zip"])
@pytest.mark.parametrize("array", ["entropy", "lse"])
def test_an_accident_is_found_where_its_values_are_read(folder, tmp_path, name, array):
    one, other = (folder / array / "c" / str(i) / "0" / "0" for i in (0, 1))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    path = folder if name == "t.zarr" else archive_of(folder, tmp_path / name)
    trace = Trace.open(path)
    assert np.isfinite(trace["lens_entropy"]).all()
    with pytest.raises(TraceError, match=f"values of {array} are damaged"):
        trace[array]


def test_a_trace_of_the_first_version_has_no_digests_and_opens(folder):
    (folder / seal.NAME).unlink()
    assert_refused(folder, f"{seal.NAME} is missing")
    _edit(folder, "", _attribute(format_version=1))
    assert np.isfinite(Trace.open(folder)["entropy"]).any()


@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip"])
def test_a_pipe_in_place_of_a_trace_is_refused_without_waiting(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert_refused(tmp_path / name, "not a regular file")
