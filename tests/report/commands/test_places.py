"""No page or trace reveals paths or names of the machine; one trace always gives the same bytes."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import attentropy
from attentropy.engine.errors import strip_paths
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import read_progress
from attentropy.engine.trace.schema import FORMAT_VERSION
from attentropy.report.cli import main
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


@pytest.mark.costly
def test_the_same_trace_gives_the_same_bytes_whoever_renders_it_where_and_when(
    tmp_path, monkeypatch
):
    trace = synthetic(layers=2, heads=2, window=False).save(tmp_path / "t.zarr.zip")
    here, there = tmp_path / "quuxhere", tmp_path / "quuxthere"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    assert main(["render", str(trace), "-o", "other.html"]) == 0
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = os.environ | {
        "PYTHONPATH": str(Path(attentropy.__file__).parents[1]),
        "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8",
        "LC_ALL": "de_DE.UTF-8", "HOME": str(there), "USER": "quuxuser", "LOGNAME": "quuxuser",
        "COLUMNS": "110",
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "attentropy.report.cli", "render", str(trace), "-o", "r.html"],
        cwd=there, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    page = (there / "r.html").read_bytes()
    assert b"quux" not in page
    assert page == (here / "other.html").read_bytes()


def test_an_archive_holds_no_time_and_no_owner(tmp_path):
    path = synthetic(layers=2, heads=1).save(tmp_path / "t.zarr.zip")
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.extra for info in archive.infolist()} == {b""}
    assert Trace.open(path).attrs["format_version"] == FORMAT_VERSION
