"""An interrupted run keeps what it has recorded, and resumes to the same values.

Its message of one line gives the reason and how far the run got.
"""

import errno
import json
import os
import shutil
import subprocess

import pytest
import torch

from attentropy.engine import demo
from attentropy.engine.errors import AttentropyError, TraceError, UsageError
from attentropy.engine.run import prefill
from attentropy.engine.run.extract import extract
from attentropy.engine.run.reader import PromptReader
from attentropy.engine.trace import sinks as writer
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from interrupted import OPTIONS, assert_equal, assert_holds
from tiny import save

pytestmark = pytest.mark.costly

PROMPT = "Paris is a city, and Canberra is another one. " * 2


@pytest.fixture(scope="module", autouse=True)
def tiny_model(tmp_path_factory):
    """Replace the embedded model by a tiny one: stopping does not depend on the model."""
    folder = save(tmp_path_factory.mktemp("model") / "tiny", num_hidden_layers=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "path", lambda: folder)
        yield folder


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, tiny_model):
    """Yield the trace of the undisturbed run."""
    folder = tmp_path_factory.mktemp("wanted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # like the interrupted runs: the last bits depend on the order of sums
    yield extract(prompt=PROMPT, output=folder / "t.zarr", **OPTIONS)
    torch.set_num_threads(threads)


def _stopping(monkeypatch, at, error):
    """Raise `error` where the run starts its chunk number `at`."""
    begin = PromptReader._run_pass

    def stops(self, start, stop, *rest):
        if start == at * OPTIONS["chunk"]:
            raise error
        return begin(self, start, stop, *rest)

    monkeypatch.setattr(PromptReader, "_run_pass", stops)


def _interrupted(monkeypatch, at, **arguments):
    """Run an extraction that Ctrl-C ends where it starts its chunk number `at`."""
    with monkeypatch.context() as patch:
        _stopping(patch, at, KeyboardInterrupt())
        pattern = r"partial has [\d,]+ of \d+ tokens; use `resume=True`"
        with pytest.raises(KeyboardInterrupt, match=pattern):
            extract(**arguments)


_STOPS = [(0, True), (1, False), (3, True)]  # before which chunk, and whether the cache is stored
_MORE_STOPS = [(0, False), (1, True), (3, False)]


@pytest.mark.parametrize(
    ("at", "keep_cache"),
    [*_STOPS, *(pytest.param(*stop, marks=pytest.mark.slow) for stop in _MORE_STOPS)],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(wanted, tmp_path, monkeypatch, at, keep_cache):
    target = tmp_path / "t.zarr.zip"
    _interrupted(monkeypatch, at, prompt=PROMPT, output=target, keep_cache=keep_cache, **OPTIONS)
    assert assert_holds(tmp_path / "t.zarr.zip.partial", wanted) == at * OPTIONS["chunk"]
    read = []
    passing = prefill.read_chunk
    monkeypatch.setattr(prefill, "read_chunk", lambda *a: read.append(a[2]) or passing(*a))
    trace = extract(prompt=PROMPT, output=target, resume=True, **OPTIONS)
    assert_equal(trace, wanted)
    assert min(read) == (at * OPTIONS["chunk"] if keep_cache else 0)
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr.zip"]


@pytest.mark.parametrize("keep_cache", [False, True], ids=["replayed", "kept"])
def test_a_run_that_was_stopped_before_its_answer_goes_on(
    wanted, tmp_path, monkeypatch, keep_cache
):
    target = tmp_path / "t.zarr"
    with monkeypatch.context() as patch:
        patch.setattr("attentropy.engine.run.answering.decode", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract(prompt=PROMPT, output=target, keep_cache=keep_cache, **OPTIONS)
    state = Trace.open(tmp_path / "t.zarr.partial", partial=True).attrs["partial"]
    assert state["done"] == state["tokens"] == wanted.prompt_tokens
    assert "ZeroDivisionError" in state["reason"]
    assert_equal(extract(prompt=PROMPT, output=target, resume=True, **OPTIONS), wanted)


def test_a_run_that_was_stopped_while_its_arrays_were_cut_keeps_their_values(tmp_path, monkeypatch):
    target, options = tmp_path / "t.zarr", OPTIONS | {"max_new_tokens": 9}  # the answer is shorter
    with monkeypatch.context() as patch:
        patch.setattr("attentropy.engine.trace.store.complete_group", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract(prompt=PROMPT, output=target, **options)
    trace = extract(prompt=PROMPT, output=target, resume=True, **options)
    assert_equal(trace, extract(prompt=PROMPT, output=tmp_path / "whole.zarr", **options))


def test_a_run_that_was_stopped_twice_goes_on(wanted, tmp_path, monkeypatch):
    target = tmp_path / "t.zarr"
    for at, resume in ((1, False), (2, True), (2, True)):
        _interrupted(monkeypatch, at, prompt=PROMPT, output=target, resume=resume, **OPTIONS)
    assert_equal(extract(prompt=PROMPT, output=target, resume=True, **OPTIONS), wanted)


@pytest.fixture(scope="module")
def stopped_once(wanted, tmp_path_factory):
    """Return the folder of a run that was interrupted after its first chunk.

    It ran with the number of threads that `wanted` sets. No test may write to the folder.
    """
    target = tmp_path_factory.mktemp("stopped") / "t.zarr"
    with pytest.MonkeyPatch.context() as patch:
        _interrupted(patch, 1, prompt=PROMPT, output=target, **OPTIONS)
    return target.with_name("t.zarr.partial")


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """Return a copy of the interrupted run's folder, which the test may change."""
    return shutil.copytree(stopped_once, tmp_path / stopped_once.name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": PROMPT + "x"}, "belongs to another run: prompt sha256 was"),
        (
            {"prompt": PROMPT.replace("Paris", "London")},
            "belongs to another run: prompt sha256 was",
        ),
        ({"top_k": 3}, "belongs to another run: options top_k was 5 and is now 3"),
        ({"chunk": 40}, "belongs to another run: options chunk was 29 and is now 40"),
        ({"keep_cache": True}, "belongs to another run: keep_cache was False and is now True"),
        ({"storage": "float16"}, "belongs to another run: options storage was float32"),
    ],
)
def test_another_run_is_not_mixed_in_and_the_first_difference_named(stopped, changes, message):
    arguments = {"prompt": PROMPT, "output": stopped.with_suffix(""), **OPTIONS, **changes}
    with pytest.raises(UsageError, match=message) as caught:
        extract(resume=True, **arguments)
    assert "\n" not in str(caught.value)
    assert stopped.is_dir()


def test_another_models_weights_are_another_run(tmp_path, monkeypatch):
    target = tmp_path / "t.zarr"
    folder = save(tmp_path / "tiny")
    rest = {"prompt": "hello " * 20, "output": target, "device": "cpu", "chunk": 29}
    _interrupted(monkeypatch, 1, model=folder, **rest)
    save(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(UsageError, match="belongs to another run: weights was"):
        extract(folder, resume=True, **rest)


def test_what_is_left_is_neither_overwritten_nor_gone_on_with_unasked(stopped, wanted):
    target = stopped.with_suffix("")
    with pytest.raises(
        UsageError, match=r"unfinished run \(29 of .*`resume=True` .*`force=True`"
    ) as caught:
        extract(prompt=PROMPT, output=target, **OPTIONS)
    assert "\n" not in str(caught.value)
    assert_equal(extract(prompt=PROMPT, output=target, force=True, **OPTIONS), wanted)
    assert not stopped.exists()


def test_the_chunk_of_the_unfinished_run_is_taken_where_none_is_given(stopped, wanted):
    rest = {k: v for k, v in OPTIONS.items() if k != "chunk"}
    assert_equal(
        extract(prompt=PROMPT, output=stopped.with_suffix(""), resume=True, **rest), wanted
    )


def test_an_unfinished_trace_is_shown_where_that_is_asked_for(stopped, monkeypatch, capsys):
    monkeypatch.chdir(stopped.parent)
    with pytest.raises(
        TraceError, match=r"29 of \d+ tokens \(interrupted\); open it with `partial=True`"
    ):
        Trace.open(stopped)
    assert main(["render", stopped.name]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--partial" in err
    assert main(["render", "--partial", stopped.name, "-o", "r.html"]) == 0
    assert (stopped.parent / "r.html").stat().st_size > 100_000
    capsys.readouterr()
    assert main(["info", stopped.name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["unfinished"]
    assert facts["done"] == 29
    assert facts["reason"] == "interrupted"
    named = Trace.open(stopped, partial=True)
    assert "" not in named.text_of(named.lens("lens_top_ids")[-1, :29, 0])


def test_ctrl_c_says_that_resume_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _stopping(monkeypatch, 1, KeyboardInterrupt())
    run = ["extract", "-p", PROMPT, "--device", "cpu", "--chunk", "29", "-o", "t.zarr"]
    assert main(run) == 130
    err = capsys.readouterr().err.strip()  # the message follows the line break after ^C
    assert err.startswith("interrupted: t.zarr.partial has 29 of ")
    assert err.endswith("use --resume to continue")
    assert "\n" not in err
    assert main(["report", *run[1:-2]]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr.partial"]


@pytest.mark.parametrize("damage", ["run.json", "commits/000000.safetensors", "trace.zarr"])
def test_what_is_left_may_be_damaged(stopped, damage):
    part = stopped / damage
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.write_bytes(part.read_bytes()[:20])
    with pytest.raises(AttentropyError) as caught:
        extract(prompt=PROMPT, output=stopped.with_suffix(""), resume=True, **OPTIONS)
    assert "\n" not in str(caught.value)
    with pytest.raises(TraceError) as caught:
        Trace.open(stopped, partial=True)
    assert "\n" not in str(caught.value)


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
    "extract", "-p", PROMPT, "--device", "cpu", "--chunk", "29", "--max-new-tokens", "3",
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
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot write to the output folder"),
     (errno.EIO, "cannot write the output")],
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
    trace = extract(prompt=PROMPT, output=tmp_path / "t.zarr", resume=True, **OPTIONS)
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
            extract(prompt=PROMPT, output=folder / "t.zarr", **OPTIONS)
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
    err = _fails(
        [*RUN, "-o", str(tmp_path / "out" / "t.zarr")], capsys, "cannot write to the output"
    )
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
        _stopping(patch, 2, error)
        err = _fails(
            [*RUN, "-o", str(tmp_path / "t.zarr")], capsys, "out of memory with chunks of 29"
        )
    assert "--chunk 14" in err
    assert "t.zarr.partial has 58 of" in err
    assert_holds(tmp_path / "t.zarr.partial", wanted)


def test_a_lost_gpu_is_one_line(tmp_path, monkeypatch, capsys):
    lost = RuntimeError("CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`")
    _stopping(monkeypatch, 1, lost)
    _fails([*RUN, "-o", str(tmp_path / "t.zarr")], capsys, "GPU failed", "use --resume to continue")


def test_a_run_that_loses_its_place_to_another_leaves_the_other_alone(tmp_path, monkeypatch):
    target = tmp_path / "t.zarr"
    other = tmp_path / "t.zarr.partial"

    def another_begins_too(self):
        other.mkdir()
        (other / "run.json").write_text("{}")
        (other / "trace.zarr").mkdir()

    monkeypatch.setattr("attentropy.engine.trace.partial.PartialTrace.discard", another_begins_too)
    with pytest.raises(AttentropyError, match=r"^another run is writing to t\.zarr$"):
        extract(prompt="Paris", device="cpu", output=target, lens="none", scores=False)
    assert (other / "run.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["t.zarr.partial"]


def test_nothing_is_left_of_a_report_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attentropy.engine.run.extract.SCRATCH_BYTES", 1)
    _stopping(monkeypatch, 1, OSError(errno.ENOSPC, "No space left on device"))
    err = _fails(["report", *RUN[1:]], capsys, "the disk is full")
    assert "--resume" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_target_is_replaced_only_when_the_new_trace_is_whole(tmp_path, wanted, monkeypatch):
    target = tmp_path / "t.zarr"
    extract(prompt="Paris", device="cpu", output=target, lens="none", map_tile="none", scores=False)
    before = Trace.open(target).tokens
    _interrupted(monkeypatch, 1, prompt=PROMPT, output=target, force=True, **OPTIONS)
    assert Trace.open(target).tokens == before
    trace = extract(prompt=PROMPT, output=target, force=True, resume=True, **OPTIONS)
    assert_equal(trace, wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]
