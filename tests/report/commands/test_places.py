"""No page or trace reveals paths or names of the machine; one trace always gives the same bytes."""

import json
import zipfile

import pytest

from attentropy.engine.errors import strip_paths
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import read_progress
from attentropy.engine.trace.schema import FORMAT_VERSION
from report_text import everything
from tiny import save
from traces import synthetic

SECRETS = ("quuxuser", "quuxhome", "quuxwork", "quuxmodels", "quuxvalue")


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("OSError: no '/home/quuxuser/models/llama/config.json'", "OSError: no 'config.json'"),
        (r"cannot read C:\Users\quuxuser\a b\m.bin", "cannot read m.bin"),
        ("at ~quuxuser/x.py, line 3", "at x.py, line 3"),
        (r"\\quuxuser\share\f.txt", "f.txt"),
        ("file:///home/quuxuser/x", "x"),
        ("3/4 of org/name, see https://example.org/a/b", "3/4 of org/name, see https://example.org/a/b"),
    ],
)  # fmt: skip
def test_of_a_path_the_last_name_stays(message, left):
    assert strip_paths(message) == left


def test_a_local_model_is_its_folders_name_and_a_digest(tmp_path, monkeypatch):
    home = tmp_path / "quuxhome"
    folder = home / "quuxmodels" / "tiny"
    work = home / "quuxwork"
    work.mkdir(parents=True)
    for name, value in (("HOME", home), ("USER", "quuxuser"), ("LOGNAME", "quuxuser"),
                        ("QUUX", "quuxvalue")):  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(work)
    save(folder)
    trace = extract(folder, "hello", max_new_tokens=1, scores=False, output="t.zarr")
    assert trace.attrs["model"]["name"] == "tiny"
    assert len(trace.attrs["model"]["weights_sha256"]) == 64
    files = [p for p in (work / "t.zarr").rglob("*") if p.is_file()]
    contents = json.dumps(trace.attrs) + " ".join(p.read_bytes().decode("latin-1") for p in files)
    contents += " ".join(str(trace[str(name)].tolist()) for name in trace.dataset.variables)
    contents += everything(trace)
    assert [secret for secret in SECRETS if secret in contents] == []
    assert str(tmp_path) not in contents


def test_why_a_run_stopped_is_told_without_paths(tmp_path):
    folder = tmp_path / "t.zarr.partial"
    folder.mkdir()
    facts = {"format": "attentropy.partial", "format_version": 1, "tokens": 9, "chunk": 3,
             "reason": "RuntimeError: /home/quuxuser/quuxmodels/x.py failed"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(facts))
    assert read_progress(folder).reason == "RuntimeError: x.py failed"


def test_an_archive_holds_no_time_and_no_owner(tmp_path):
    path = synthetic(layers=2, heads=1).save(tmp_path / "t.zarr.zip")
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.extra for info in archive.infolist()} == {b""}
    assert Trace.open(path).attrs["format_version"] == FORMAT_VERSION
