"""The folder of an unfinished run from a stranger is inspected before anything of it is used."""

import json
import os
import shutil
import socket
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.finished_chunks import CHUNK, RUN, run_digest
from attentropy.engine.trace.partial import PartialTrace, inspect_run
from attentropy.report.cli import main
from traces import synthetic


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """Return the folder of a run that read 17 tokens in chunks of 6, and a token of its answer."""
    place = tmp_path_factory.mktemp("unfinished")
    saved = synthetic(layers=2, heads=2).save(place / "saved.zarr")
    (saved / "written.json").unlink()
    run = PartialTrace(place / "t.zarr")
    run.begin({"tokens": 17, "chunk": 6}, lambda target: shutil.copytree(saved, target))
    for chunk in range(4):
        _commit(run.folder, chunk, vocabulary='{"3": " b"}')
    return run.folder


@pytest.fixture
def folder(unfinished, tmp_path):
    return shutil.copytree(unfinished, tmp_path / "t.zarr.partial")


def _commit(folder, index, **facts):
    """Write the commit of a chunk with these facts."""
    file = folder / "commits" / f"{index:06d}.safetensors"
    file.write_bytes(save({"logits": np.zeros((1, 1, 8), np.float32)}, facts))


def _edit(folder, **values):
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | values))


def _refused(folder, message):
    """Assert that neither a command nor `--resume` takes the folder, each with one line."""
    with pytest.raises(TraceError, match=message) as refusal:
        Trace.open(folder, partial=True)
    assert "\n" not in str(refusal.value)
    with pytest.raises(TraceError, match=message):
        inspect_run(folder)


def test_the_folder_that_a_run_left_opens(folder):
    trace = Trace.open(folder, partial=True)
    assert trace.attrs["partial"]["done"] == 17
    assert inspect_run(folder)["tokens"] == 17


@pytest.mark.parametrize("place", [
    "run.json", "commits/000001.safetensors", "cache/000000.safetensors", "extra",
    "trace.zarr/zarr.json", "trace.zarr/entropy/c/0/0/0",
])  # fmt: skip
@pytest.mark.parametrize("way", ["pipe", "link", "link to nothing", "socket"])
def test_anything_but_files_and_folders_is_refused_without_being_opened(
    folder, place, way, monkeypatch
):
    file = folder / place
    file.unlink(missing_ok=True)
    if way == "pipe":
        os.mkfifo(file)
    elif way == "socket":
        monkeypatch.chdir(file.parent)
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(file.name)
    else:
        file.symlink_to("/dev/zero" if way == "link" else "nothing")
    _refused(folder, "contains a link|something other than files")


@pytest.mark.parametrize("text", [
    "[" * 100_000, '{"format": NaN}', '{"a": 1, "a": 2}', "9" * 5000, "", "[]", "\x00",
])  # fmt: skip
def test_a_run_that_cannot_be_read_is_refused(folder, text):
    (folder / "run.json").write_text(text)
    _refused(folder, "not an unfinished")


@pytest.mark.parametrize("values", [
    {"tokens": 0}, {"tokens": True}, {"tokens": "17"}, {"chunk": -1}, {"chunk": None},
    {"chunk": 1.5}, {"tokens": [17]},
])  # fmt: skip
def test_a_run_of_no_length_is_refused(folder, values):
    _edit(folder, **values)
    _refused(folder, "does not say how long the run is")


@pytest.mark.parametrize("data", [
    b"", b"\x01", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2**40),
    struct.pack("<Q", 9000) + b"[" * 9000, struct.pack("<Q", 2) + b"[]",
    struct.pack("<Q", 16) + b'{"__metadata__":1', struct.pack("<Q", 2**20) + b"{}",
])  # fmt: skip
def test_a_commit_that_claims_much_or_is_none_is_refused(folder, data):
    (folder / "commits" / "000001.safetensors").write_bytes(data)
    _refused(folder, "cannot be read|header is too large")


@pytest.mark.parametrize("facts", [
    {"answer": '{"ids": [1e3], "texts": ["a"]}'},
    {"answer": '{"ids": [4294967296], "texts": ["a"]}'},
    {"answer": '{"ids": [-2], "texts": ["a"]}'}, {"answer": '{"ids": [1], "texts": [1]}'},
    {"answer": '{"ids": [1], "texts": []}'}, {"answer": '{"ids": 1}'}, {"answer": "[1]"},
    {"answer": '{"ids": [1], "texts": ["a"], "roles": ["king"]}'}, {"answer": "[" * 9000},
    {"answer": '{"ids": [1], "texts": ["a"], "roles": [["generated"]]}'},
    {"vocabulary": '{"4294967296": "a"}'}, {"vocabulary": '{"a": "a"}'}, {"vocabulary": "[]"},
    {"vocabulary": '{"1": 1}'}, {"vocabulary": '{"1": "a", "1": "b"}'},
])  # fmt: skip
def test_an_answer_or_a_vocabulary_that_no_run_writes_is_refused(folder, facts):
    _commit(folder, 3, **facts)
    _refused(folder, "in a finished chunk cannot be read")


def test_a_commit_of_another_run_or_chunk_is_refused(folder):
    run = json.loads((folder / "run.json").read_text())
    _commit(folder, 1, **{RUN: run_digest(run), CHUNK: "1"})
    inspect_run(folder)
    for facts in ({RUN: run_digest(run | {"tokens": 18}), CHUNK: "1"}, {CHUNK: "2"}):
        _commit(folder, 1, **facts)
        _refused(folder, "a finished chunk of another run")


def test_half_of_a_character_becomes_a_mark_and_missing_chunks_end_the_run(folder):
    answer = {"ids": [5], "texts": ["\ud83d"], "roles": ["generated"]}
    _commit(folder, 3, answer=json.dumps(answer))
    assert Trace.open(folder, partial=True).attrs["partial"]["answered"] == 1
    (folder / "commits" / "000001.safetensors").unlink()
    facts = Trace.open(folder, partial=True).attrs["partial"]
    assert (facts["done"], facts["answered"]) == (6, 0)


def test_arrays_that_claim_much_are_refused_before_memory_is_reserved(folder, capsys):
    for file in (folder / "trace.zarr").glob("*/zarr.json"):
        described = json.loads(file.read_text())
        if "head" in described["dimension_names"]:
            described["shape"][described["dimension_names"].index("head")] = 10**9
            file.write_text(json.dumps(described))
    for command in (["info"], ["render", "--partial", "-o", "-"]):
        assert main([command[0], str(folder), *command[1:]]) == 1
        assert "cells, too many for its size" in capsys.readouterr().err
