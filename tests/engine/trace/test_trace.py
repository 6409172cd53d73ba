"""A saved trace opens unchanged; an incomplete file is refused in one line."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import xarray as xr

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace import lazy
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import FORMAT_VERSION
from attentropy.engine.trace.text import text_array
from traces import save_synthetic, synthetic


@pytest.fixture
def saved(tmp_path):
    return save_synthetic(tmp_path / "t.zarr")


@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip"])
def test_what_is_saved_is_what_is_opened(tmp_path, name):
    tokens = ["<s>", "</script>", "\u2028", "日本", "é" * 50, ""]
    trace = synthetic(tokens, ["bos"] + ["content"] * 5)
    opened = Trace.open(trace.save(tmp_path / name))
    xr.testing.assert_identical(
        opened.dataset.drop_attrs().compute(), trace.dataset.drop_attrs().compute()
    )
    assert opened.attrs["model"] == trace.attrs["model"]
    assert opened.tokens == tokens


def test_the_same_trace_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.zarr.zip", tmp_path / "b.zarr.zip"
    synthetic().save(first)
    synthetic().save(second)
    assert first.read_bytes() == second.read_bytes()


def test_nothing_but_the_trace_is_left_beside_it(tmp_path):
    synthetic().save(tmp_path / "t.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_an_existing_trace_is_replaced_only_by_force(saved):
    before = sorted(p.stat().st_mtime_ns for p in saved.rglob("*"))
    with pytest.raises(UsageError, match="`force=True`"):
        synthetic(seed=1).save(saved)
    assert sorted(p.stat().st_mtime_ns for p in saved.rglob("*")) == before
    synthetic(seed=1).save(saved, force=True)
    np.testing.assert_array_equal(Trace.open(saved)["entropy"], synthetic(seed=1)["entropy"])


@pytest.mark.parametrize("name", ["t.npz", "none/t.zarr"])
def test_a_path_that_cannot_hold_a_trace_is_refused(tmp_path, name):
    with pytest.raises(UsageError):
        synthetic().save(tmp_path / name)


def _edit(folder, name, change):
    file = folder / name / "zarr.json" if name else folder / "zarr.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("", lambda m: m["attributes"].update(format="other"), "not an attentropy trace"),
        ("", lambda m: m["attributes"].update(format_version=FORMAT_VERSION + 1), "newer"),
        ("", lambda m: m.update(zarr_format=2), "not Zarr v3"),
        ("entropy", lambda m: m["codecs"].append({"name": "numcodecs.pickle"}), "unknown codec"),
        ("entropy", lambda m: m.update(data_type="object"), "unknown data type"),
        ("entropy", lambda m: m.update(shape=[2**40, 3, 17]), "truncated"),
        ("entropy", lambda m: m.update(shape=[-1, 3, 17]), "impossible"),
        ("entropy", lambda m: m.update(dimension_names=["a", "b", "c"]), "dimensions"),
        (
            "entropy",
            lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[2, 3, 17]),
            "several layers in one chunk",
        ),
        (
            "entropy",
            lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[1, 2**20, 2**20]),
            "over 1 GiB",
        ),
    ],
)
def test_a_foreign_newer_or_hostile_trace_is_refused(saved, name, change, message):
    _edit(saved, name, change)
    with pytest.raises(TraceError, match=message) as caught:
        Trace.open(saved)
    assert "\n" not in str(caught.value)


def test_a_trace_with_a_missing_chunk_is_refused(saved):
    next(p for p in (saved / "entropy" / "c").rglob("*") if p.is_file()).unlink()
    with pytest.raises(TraceError, match="truncated"):
        Trace.open(saved)


def test_a_trace_without_its_tokens_is_refused(saved):
    shutil.rmtree(saved / "token_text")
    with pytest.raises(TraceError, match="token_text"):
        Trace.open(saved)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_archive_is_refused(tmp_path, keep):
    path = save_synthetic(tmp_path / "t.zarr.zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(TraceError, match="truncated"):
        Trace.open(path)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a\\..\\b"])
def test_an_archive_entry_that_leads_out_is_refused(tmp_path, name):
    path = save_synthetic(tmp_path / "t.zarr.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(TraceError, match="points outside"):
        Trace.open(path)


def test_a_folder_that_links_outside_is_refused(saved, tmp_path):
    (tmp_path / "secret").write_text("x")
    (saved / "entropy" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(TraceError, match="outside"):
        Trace.open(saved)


def test_a_folder_within_a_folder_that_links_outside_is_refused(saved, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (saved / "entropy" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(TraceError, match="outside"):
        Trace.open(saved)


def test_an_array_that_is_read_whole_is_read_from_the_disk_once(saved, monkeypatch):
    reads = []
    read = lazy._StoredArray._read
    monkeypatch.setattr(lazy._StoredArray, "_read", lambda *a: reads.append(a[0]._name) or read(*a))
    trace = Trace.open(saved)
    reads.clear()  # of the few chunks that opening checks
    for _ in range(2):
        _ = trace["visible"], trace["visible"][0], trace.lens("lens_entropy")
        _ = trace.dataset["entropy"][0].values  # reading a part does not load the array
    assert reads.count("visible") == reads.count("lens_entropy") == 1
    assert reads.count("entropy") == 2


def test_dummy_positions_follow_the_last_content_token():
    trace = synthetic()
    assert [trace.tokens[i] for i in trace.dummy_positions()] == trace.tokens[12:]
    raw = synthetic(["a", "b"], ["content", "content"])
    assert raw.dummy_positions().size == 0


@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip"])
def test_damaged_values_are_told_of_in_one_line_where_they_are_read(tmp_path, name):
    path = save_synthetic(tmp_path / name)
    if path.is_dir():
        chunk = path / "entropy" / "c" / "0" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-7])
    else:
        data = bytearray(path.read_bytes())
        place = data.index(b"entropy/c/0/0/0") + len("entropy/c/0/0/0")
        data[place : place + 20] = b"\0" * 20
        path.write_bytes(data)
    trace = Trace.open(path)
    assert trace["visible"].shape == (6, 17)
    with pytest.raises(TraceError, match="values of entropy are damaged") as caught:
        trace["entropy"]
    assert "\n" not in str(caught.value)


def test_half_of_a_surrogate_pair_is_written_out():
    assert list(text_array(["a\ud83db", "é"])) == ["a\\ud83db", "é"]
