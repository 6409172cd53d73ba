"""What makes a run fail is one line, and what it has recorded stays.

A full or lost disk, too little memory, a lost GPU, another run at the same place.
"""

import errno
import os
import subprocess

import pytest
import torch

from attentropy.engine.errors import AttentropyError
from attentropy.engine.run import prefill
from attentropy.engine.run.extract import extract
from attentropy.engine.trace import sinks as writer
from attentropy.report.cli import main
from interrupted import OPTIONS, SHORT_PROMPT, assert_equal, assert_holds, stop_at

pytestmark = [pytest.mark.costly, pytest.mark.usefixtures("tiny_model")]


def _fails(run, capsys, *words):
    assert main(run) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    for word in words:
        assert word in err
    return err


RUN = [
    "extract", "-p", SHORT_PROMPT, "--device", "cpu", "--chunk", "29", "--max-new-tokens", "3",
    "--stats", "max_prob", "--lens-layers", "0,-1",
]  # fmt: skip


@pytest.fixture
def tiny_disk(tmp_path):
    """Yield a folder on a disk of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("no permission to mount a disk here; the next test injects its failure")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_of_512_kib_is_full_in_one_line_and_the_store_opens(tiny_disk, wanted, capsys):
    _fails([*RUN, "-o", str(tiny_disk / "t.zarr.zip")], capsys, "the disk is full", "--resume")
    assert [p.name for p in tiny_disk.iterdir()] == ["t.zarr.zip.partial"]
    assert assert_holds(tiny_disk / "t.zarr.zip.partial", wanted) < len(wanted.tokens)


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "the disk is full; free some space"),
     (errno.EROFS, "cannot write the output: the file system is read-only; write to another"),
     (errno.EIO, "cannot write the output: the disk reports an error")],
)  # fmt: skip
def test_a_disk_that_fails_stops_the_run_in_one_line(
    tmp_path, wanted, monkeypatch, capsys, number, message
):
    checked, written = writer.FolderSink._check_folder, []

    def fails(self):
        written.append(1)
        if len(written) > 50:
            raise OSError(number, os.strerror(number))
        checked(self)

    with monkeypatch.context() as patch:
        patch.setattr(writer.FolderSink, "_check_folder", fails)
        _fails([*RUN, "-o", str(tmp_path / "t.zarr")], capsys, message, "use --resume to continue")
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr.partial"]
    assert_holds(tmp_path / "t.zarr.partial", wanted)
    trace = extract(prompt=SHORT_PROMPT, output=tmp_path / "t.zarr", resume=True, **OPTIONS)
    assert_equal(trace, wanted)


def test_a_read_only_folder_is_refused_before_the_run(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "closed"
    folder.mkdir()
    mounted = os.geteuid() == 0  # root, whom permissions do not stop
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no permission to mount a read-only folder here, and none stops root")
    else:
        folder.chmod(0o500)
    try:
        assert main([*RUN, "-o", str(folder / "t.zarr")]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "cannot write to the output folder" in err
        with pytest.raises(AttentropyError, match="cannot write to the output folder"):
            extract(prompt=SHORT_PROMPT, output=folder / "t.zarr", **OPTIONS)
        assert list(folder.iterdir()) == []
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        else:
            folder.chmod(0o700)


def test_an_output_that_vanishes_stops_the_run_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    sinks = []
    create, read = writer.FolderSink.create, prefill.read_chunk

    def creates(self, *arguments):
        sinks.append(self)
        create(self, *arguments)

    def vanishes(model, ids, start, *rest):
        if start == 58:
            sinks[-1].flush()  # a pending write could create the folder again
            (tmp_path / "out").rename(tmp_path / "gone")
        return read(model, ids, start, *rest)

    monkeypatch.setattr(writer.FolderSink, "create", creates)
    monkeypatch.setattr(prefill, "read_chunk", vanishes)
    err = _fails([*RUN, "-o", str(tmp_path / "out" / "t.zarr")], capsys, "cannot write the output")
    assert "--resume" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["gone"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate "
                     "memory: you tried to allocate 68719476736 bytes."),
    ],
    ids=["python", "cuda", "cpu"],
)  # fmt: skip
def test_out_of_memory_names_what_would_have_fitted(tmp_path, monkeypatch, capsys, error, wanted):
    with monkeypatch.context() as patch:
        stop_at(patch, 2, error)
        err = _fails(
            [*RUN, "-o", str(tmp_path / "t.zarr")], capsys, "out of memory with chunks of 29"
        )
    assert "--chunk 14" in err
    assert "t.zarr.partial has 58 of" in err
    assert_holds(tmp_path / "t.zarr.partial", wanted)


def test_a_lost_gpu_is_one_line(tmp_path, monkeypatch, capsys):
    lost = RuntimeError("CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`")
    stop_at(monkeypatch, 1, lost)
    _fails([*RUN, "-o", str(tmp_path / "t.zarr")], capsys, "GPU failed", "use --resume to continue")


def test_nothing_is_left_of_a_report_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attentropy.engine.run.extract.SCRATCH_BYTES", 1)
    stop_at(monkeypatch, 1, OSError(errno.ENOSPC, "No space left on device"))
    err = _fails(["report", *RUN[1:]], capsys, "the disk is full")
    assert "--resume" not in err
    assert list(tmp_path.iterdir()) == []
