"""A process killed before any step of its writing loses nothing, and the next one repairs it."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from attentropy.engine.errors import TraceError
from attentropy.engine.output.place import repair, reserve, scratch_folder
from attentropy.engine.trace import store
from attentropy.engine.trace.dataset import Trace, stored_dataset
from attentropy.engine.trace.partial import PartialTrace
from places import in_child, killed_at, snapshot
from traces import synthetic

OLD, NEW = (synthetic(layers=1, heads=1, window=False, seed=seed) for seed in (0, 1))


def _which(path):
    """Return which trace is at the path, "" for none."""
    try:
        entropy = Trace.open(path)["entropy"]
    except TraceError:
        assert not os.path.lexists(path)
        return ""
    return next(
        name
        for name, trace in (("old", OLD), ("new", NEW))
        if np.array_equal(entropy, trace["entropy"])
    )


def _kills(steps):
    """Return the steps at which something changes its place, those before and after, and a few."""
    moves = [i for i, step in enumerate(steps) if step in ("rename", "replace", "ftruncate")]
    others = {0, steps.index("fsync"), len(steps) // 2, len(steps) - 2, len(steps) - 1}
    return sorted({*others, *moves, *(i + 1 for i in moves if i + 1 < len(steps))})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder with the old trace in both forms, and the new one as a run leaves it."""
    folder = tmp_path_factory.mktemp("saved")
    OLD.save(folder / "t.zarr")
    OLD.save(folder / "t.zarr.zip")
    store.write_group(stored_dataset(NEW), folder / "unfinished")
    return folder


def _copy(source, target):
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


CASES = [
    pytest.param(name, is_replaced, marks=[] if is_replaced else [pytest.mark.slow])
    for name in ("t.zarr", "t.zarr.zip")
    for is_replaced in (False, True)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_replaced"), CASES)
def test_a_save_that_is_killed_leaves_the_old_trace_or_the_new_one(
    tmp_path, saved, name, is_replaced
):
    def save(path):
        return lambda: NEW.save(path, force=True)

    def prepared(number):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        if is_replaced:
            _copy(saved / name, path)
        return path

    code, steps = killed_at(None, save(prepared("whole")))
    assert code == 0
    outcomes = []
    for step in _kills(steps):
        path = prepared(step)
        code, _ = killed_at(step, save(path))
        assert code == -signal.SIGKILL
        outcomes.append(_which(path))  # a reader repairs
        assert outcomes[-1] in (("old", "new") if is_replaced else ("", "new"))
        with reserve(path, force=True):
            pass
        assert _which(path) in (outcomes[-1], "new")  # a writer also completes what was ready
        assert {p.name for p in path.parent.iterdir()} <= {name}
        shutil.rmtree(path.parent)
    assert outcomes == sorted(outcomes, key=["", "old", "new"].index)
    assert set(outcomes) == {"new", "old" if is_replaced else ""}


def test_a_page_that_is_killed_is_the_old_or_the_new_one(tmp_path):
    file = tmp_path / "x.html"

    def write():
        with reserve(file, force=True) as place:
            place.write(b"new")

    for step in range(len(killed_at(None, write)[1])):
        file.write_text("old")
        file.chmod(0o600)
        assert killed_at(step, write)[0] == -signal.SIGKILL
        assert file.read_text() in ("old", "new")
        assert file.stat().st_mode & 0o777 == 0o600
        with reserve(file, force=True):
            pass
        assert snapshot(tmp_path).keys() == {"x.html"}


@pytest.mark.costly
@pytest.mark.parametrize(("name", "is_replaced"), CASES)
def test_the_end_of_a_run_that_is_killed_is_the_run_or_its_trace(
    tmp_path, saved, name, is_replaced
):
    """Never both, never neither; what was there before stays until the new trace is."""

    def prepared(number):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        if is_replaced:
            _copy(saved / name, path)
        run = PartialTrace(path)
        facts = {"tokens": 17, "chunk": 17}
        run.begin(facts, lambda folder: shutil.copytree(saved / "unfinished", folder))
        return run

    code, steps = killed_at(None, prepared("whole").finish)
    assert code == 0
    outcomes = []
    for step in _kills(steps):
        run = prepared(step)
        assert killed_at(step, run.finish)[0] == -signal.SIGKILL
        which = _which(run.target)
        with reserve(run.target, force=True):
            pass
        outcomes.append((_which(run.target), run.exists()))
        assert outcomes[-1][0] in (which, "new")
        assert {p.name for p in run.target.parent.iterdir()} <= {name, run.folder.name}
        if run.exists():
            run.finish()
            assert _which(run.target) == "new"
        assert [p.name for p in run.target.parent.iterdir()] == [name]
        shutil.rmtree(run.target.parent)
    assert set(outcomes) == {("old" if is_replaced else "", True), ("new", False)}


def _planned(path, *, is_replaced=True):
    """Leave what a run leaves that is killed between the two renames which replace a folder."""
    if is_replaced:
        OLD.save(path)
    rename = os.rename

    def killed(source, target):
        rename(source, target)
        if str(target).endswith("replaced"):
            os.kill(os.getpid(), signal.SIGKILL)

    def work():
        os.rename = killed
        NEW.save(path, force=True)

    assert in_child(work) == -signal.SIGKILL
    assert not path.exists()


@pytest.mark.parametrize("by", ["a reader", "a writer", "a second run", "an unfinished run"])
def test_between_the_two_renames_the_next_command_repairs(tmp_path, by):
    path = tmp_path / "t.zarr"
    _planned(path)
    if by == "a reader":
        assert _which(path) == "new"
    elif by == "a writer":
        with pytest.raises(Exception, match="exists"):
            OLD.save(path)
        with reserve(path, force=True):
            pass
    elif by == "a second run":
        OLD.save(path, force=True)
    else:
        with PartialTrace(path).reserve():
            pass
    assert _which(path) == ("old" if by == "a second run" else "new")
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_what_somebody_put_there_after_a_kill_stays(tmp_path):
    path = tmp_path / "t.zarr"
    _planned(path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "mine").rename(path)
    repair(path)
    with pytest.raises(Exception, match="did not write"), reserve(path, force=True):
        pass
    assert (path / "thesis.txt").read_text() == "mine"


def test_a_reader_waits_while_a_run_is_between_its_renames(tmp_path, monkeypatch):
    path = OLD.save(tmp_path / "t.zarr")
    states, replace = [], os.replace

    def reads(source, target):
        if str(target) == str(path):
            assert not path.exists()
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                try:
                    os.write(writing, b"s")
                    code = 0 if _which(path) == "new" else 4
                except BaseException:
                    code = 5
                os._exit(code)
            os.read(reading, 1)
            replace(source, target)
            states.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            return
        replace(source, target)

    monkeypatch.setattr(os, "replace", reads)
    NEW.save(path, force=True)
    assert states == [0]


@pytest.mark.parametrize(
    "plan",
    [b"", b"[]", b"{", b'{"old": 1}', b'{"spent": ["../..", 2], "new": null}',
     b'{"spent": [["x"], 2], "new": null}', b'{"spent": 3, "new": null, "origin": 5}'],
)  # fmt: skip
def test_a_damaged_plan_does_no_harm(tmp_path, plan):
    path = tmp_path / "t.zarr"
    _planned(path)
    (scratch_folder(path) / "plan.json").write_bytes(plan)
    with reserve(path, force=True):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]
    assert _which(path) == "new"


def test_a_plan_names_what_it_is_for(tmp_path):
    path = tmp_path / "t.zarr"
    _planned(path)
    facts = json.loads((scratch_folder(path) / "plan.json").read_text())
    assert set(facts) == {"old", "new", "origin", "spent"}
    assert "/" not in str(facts["spent"])


@pytest.mark.parametrize("origin", ["../loot", "/loot", "mine/loot", "mine.partial/loot"])
def test_a_strangers_plan_moves_nothing_to_another_place(tmp_path, origin):
    folder = tmp_path / "folder"
    for name in ("mine", "mine.partial"):
        (folder / name).mkdir(parents=True)
    path = folder / "t.zarr"
    _planned(path)
    facts = json.loads((scratch_folder(path) / "plan.json").read_text())
    origin = str(tmp_path / "loot") if origin == "/loot" else origin
    (scratch_folder(path) / "plan.json").write_text(json.dumps(facts | {"origin": origin}))
    OLD.save(folder / "other.zarr").rename(path)  # so that the plan cannot be carried out
    with reserve(path, force=True):
        pass
    assert not list(tmp_path.rglob("loot"))
    assert _which(path) == "old"
