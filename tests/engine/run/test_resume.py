"""An interrupted run keeps what it has recorded, and resumes to the same values.

Its message of one line gives the reason and how far the run got.
"""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save as save_arrays

from attentropy.engine.errors import AttentropyError, TraceError, UsageError
from attentropy.engine.run import prefill
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.chunk_files import read_facts
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from interrupted import OPTIONS, SHORT_PROMPT, assert_equal, assert_holds, interrupt_at, stop_at
from tiny import save

pytestmark = [pytest.mark.costly, pytest.mark.usefixtures("tiny_model")]

_STOPS = [(0, True), (1, False), (3, True)]  # before which chunk, and whether the cache is stored
_MORE_STOPS = [(0, False), (1, True), (3, False)]


@pytest.mark.parametrize(
    ("at", "keep_cache"),
    [*_STOPS, *(pytest.param(*stop, marks=pytest.mark.slow) for stop in _MORE_STOPS)],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(wanted, tmp_path, monkeypatch, at, keep_cache):
    target = tmp_path / "t.zarr.zip"
    interrupt_at(
        monkeypatch, at, prompt=SHORT_PROMPT, output=target, keep_cache=keep_cache, **OPTIONS
    )
    assert assert_holds(tmp_path / "t.zarr.zip.partial", wanted) == at * OPTIONS["chunk"]
    read = []
    passing = prefill.read_chunk
    monkeypatch.setattr(prefill, "read_chunk", lambda *a: read.append(a[2]) or passing(*a))
    trace = extract(prompt=SHORT_PROMPT, output=target, resume=True, **OPTIONS)
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
            extract(prompt=SHORT_PROMPT, output=target, keep_cache=keep_cache, **OPTIONS)
    state = Trace.open(tmp_path / "t.zarr.partial", partial=True).attrs["partial"]
    assert state["done"] == state["tokens"] == wanted.prompt_tokens
    assert "ZeroDivisionError" in state["reason"]
    assert_equal(extract(prompt=SHORT_PROMPT, output=target, resume=True, **OPTIONS), wanted)


def test_a_run_that_was_stopped_while_its_arrays_were_cut_keeps_their_values(tmp_path, monkeypatch):
    target, options = tmp_path / "t.zarr", OPTIONS | {"max_new_tokens": 9}  # the answer is shorter
    with monkeypatch.context() as patch:
        patch.setattr("attentropy.engine.trace.store.complete_group", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract(prompt=SHORT_PROMPT, output=target, **options)
    trace = extract(prompt=SHORT_PROMPT, output=target, resume=True, **options)
    assert_equal(trace, extract(prompt=SHORT_PROMPT, output=tmp_path / "whole.zarr", **options))


def test_a_run_that_was_stopped_twice_goes_on(wanted, tmp_path, monkeypatch):
    target = tmp_path / "t.zarr"
    for at, resume in ((1, False), (2, True), (2, True)):
        interrupt_at(monkeypatch, at, prompt=SHORT_PROMPT, output=target, resume=resume, **OPTIONS)
    assert_equal(extract(prompt=SHORT_PROMPT, output=target, resume=True, **OPTIONS), wanted)


@pytest.fixture(scope="module")
def stopped_once(wanted, tmp_path_factory):
    """Return the folder of a run that was interrupted after its first chunk.

    It ran with the number of threads that `wanted` sets. No test may write to the folder.
    """
    target = tmp_path_factory.mktemp("stopped") / "t.zarr"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 1, prompt=SHORT_PROMPT, output=target, **OPTIONS)
    return target.with_name("t.zarr.partial")


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """Return a copy of the interrupted run's folder, which the test may change."""
    return shutil.copytree(stopped_once, tmp_path / stopped_once.name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": SHORT_PROMPT + "x"}, "belongs to another run: prompt sha256 was"),
        (
            {"prompt": SHORT_PROMPT.replace("Paris", "London")},
            "belongs to another run: prompt sha256 was",
        ),
        ({"top_k": 3}, "belongs to another run: options top_k was 5 and is now 3"),
        ({"chunk": 40}, "belongs to another run: options chunk was 29 and is now 40"),
        ({"keep_cache": True}, "belongs to another run: keep_cache was False and is now True"),
        ({"storage": "float16"}, "belongs to another run: options storage was float32"),
    ],
)
def test_another_run_is_not_mixed_in_and_the_first_difference_named(stopped, changes, message):
    arguments = {"prompt": SHORT_PROMPT, "output": stopped.with_suffix(""), **OPTIONS, **changes}
    with pytest.raises(UsageError, match=message) as caught:
        extract(resume=True, **arguments)
    assert "\n" not in str(caught.value)
    assert stopped.is_dir()


def test_another_models_weights_are_another_run(tmp_path, monkeypatch):
    target = tmp_path / "t.zarr"
    folder = save(tmp_path / "tiny")
    rest = {"prompt": "hello " * 20, "output": target, "device": "cpu", "chunk": 29}
    interrupt_at(monkeypatch, 1, model=folder, **rest)
    save(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(UsageError, match="belongs to another run: weights was"):
        extract(folder, resume=True, **rest)


def test_what_is_left_is_neither_overwritten_nor_gone_on_with_unasked(stopped, wanted):
    target = stopped.with_suffix("")
    with pytest.raises(
        UsageError, match=r"unfinished run \(29 of .*`resume=True` .*`force=True`"
    ) as caught:
        extract(prompt=SHORT_PROMPT, output=target, **OPTIONS)
    assert "\n" not in str(caught.value)
    assert_equal(extract(prompt=SHORT_PROMPT, output=target, force=True, **OPTIONS), wanted)
    assert not stopped.exists()


def test_the_chunk_of_the_unfinished_run_is_taken_where_none_is_given(stopped, wanted):
    rest = {k: v for k, v in OPTIONS.items() if k != "chunk"}
    assert_equal(
        extract(prompt=SHORT_PROMPT, output=stopped.with_suffix(""), resume=True, **rest), wanted
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
    stop_at(monkeypatch, 1, KeyboardInterrupt())
    run = ["extract", "-p", SHORT_PROMPT, "--device", "cpu", "--chunk", "29", "-o", "t.zarr"]
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
        extract(prompt=SHORT_PROMPT, output=stopped.with_suffix(""), resume=True, **OPTIONS)
    assert "\n" not in str(caught.value)
    with pytest.raises(TraceError) as caught:
        Trace.open(stopped, partial=True)
    assert "\n" not in str(caught.value)


def _rewrite(file, change):
    """Write a safetensors file again with what `change` makes of its tensors and facts."""
    tensors = {name: values.copy() for name, values in load_file(file).items()}
    facts = read_facts(file)
    change(tensors, facts)
    file.write_bytes(save_arrays(tensors, facts))


def _wide(tensors, facts):
    for name in tensors:
        tensors[name] = np.zeros((*tensors[name].shape, 2), np.float32)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("commits/sweeps000000.safetensors", _wide),
        ("commits/sweeps000000.safetensors", lambda tensors, facts: tensors.clear()),
        ("commits/000000.safetensors", lambda tensors, facts: facts.update(errors="[1]")),
        ("commits/000000.safetensors", lambda tensors, facts: facts.update(not_finite='"x"')),
        ("commits/000000.safetensors", lambda tensors, facts: facts.update(run="0" * 32)),
        ("commits/000000.safetensors", lambda tensors, facts: facts.update(chunk="1")),
        ("commits/000000.safetensors", lambda tensors, facts: facts.update(vocabulary="[" * 999)),
        (
            "commits/000000.safetensors",
            lambda tensors, facts: facts.update(
                answer=json.dumps({
                    "ids": [10**6], "texts": ["a"], "roles": ["generated"],
                    "tokens": [[10**6, 0.5, 0, 0.1]],
                })
            ),
        ),
    ],
)  # fmt: skip
def test_what_a_stranger_left_to_resume_is_refused_in_one_line(stopped, file, change):
    _rewrite(stopped / file, change)
    with pytest.raises(TraceError, match="start over with `force=True`") as caught:
        extract(prompt=SHORT_PROMPT, output=stopped.with_suffix(""), resume=True, **OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["commits/000001.safetensors", "trace.zarr/entropy/c/0/0/1"])
def test_a_pipe_in_what_is_left_is_not_opened(stopped, place):
    (stopped / place).unlink(missing_ok=True)
    os.mkfifo(stopped / place)
    with pytest.raises(TraceError, match="something other than files and folders"):
        extract(prompt=SHORT_PROMPT, output=stopped.with_suffix(""), resume=True, **OPTIONS)


def test_a_target_is_replaced_only_when_the_new_trace_is_whole(tmp_path, wanted, monkeypatch):
    target = tmp_path / "t.zarr"
    extract(prompt="Paris", device="cpu", output=target, lens="none", map_tile="none", scores=False)
    before = Trace.open(target).tokens
    interrupt_at(monkeypatch, 1, prompt=SHORT_PROMPT, output=target, force=True, **OPTIONS)
    assert Trace.open(target).tokens == before
    trace = extract(prompt=SHORT_PROMPT, output=target, force=True, resume=True, **OPTIONS)
    assert_equal(trace, wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]
