"""One run at a time writes to a place: the second is told who does, and what is stale is taken."""

import json
import multiprocessing
import os
import signal
import socket
import threading

import pytest

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.output import lock
from attentropy.engine.output.place import reserve, scratch_folder
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from places import in_child, snapshot
from traces import synthetic

NAMES = ["x.html", "t.zarr", "t.zarr.zip"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("force", [False, True])
def test_a_second_process_is_told_which_one_writes(tmp_path, name, force):
    path = tmp_path / name

    def second():
        with pytest.raises(AttentropyError) as caught, reserve(path, force=force):
            pytest.fail("it was reserved twice")
        message = str(caught.value)
        assert message.startswith(f"another run is writing to {name!r} (process {os.getppid()} on ")
        assert socket.gethostname() in message
        assert message.endswith("; wait for it, or name another output")
        assert "\n" not in message
        assert not isinstance(caught.value, UsageError)

    with reserve(path, force=force):
        during = snapshot(tmp_path)
        assert in_child(second) == 0
        assert snapshot(tmp_path) == during
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_process_are_two_runs_as_well(tmp_path):
    errors = []

    def second():
        try:
            with reserve(tmp_path / "x.html"):
                pass
        except AttentropyError as error:
            errors.append(str(error))

    with reserve(tmp_path / "x.html"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert f"process {os.getpid()} " in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_many_threads_that_save_to_one_place_lose_nothing(tmp_path):
    traces = [synthetic(layers=1, heads=1, window=False, seed=seed) for seed in range(6)]
    start, errors = threading.Barrier(6), []

    def save(trace):
        start.wait()
        try:
            trace.save(tmp_path / "t.zarr", force=True)
        except AttentropyError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=save, args=[trace]) for trace in traces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(error.startswith("another run is writing to 't.zarr'") for error in errors)
    entropy = Trace.open(tmp_path / "t.zarr")["entropy"]
    assert any((entropy == trace["entropy"]).all() for trace in traces)
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_within_a_run_a_place_that_it_has_is_its_own(tmp_path):
    with reserve(tmp_path / "x.html", force=True) as outer:
        with reserve(tmp_path / "x.html") as inner:
            assert inner is outer
        assert outer.scratch.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_two_names_of_one_file_are_one_place(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "x.html").write_text("old")
    (tmp_path / "d" / "link.html").symlink_to("../x.html")
    (tmp_path / "e").symlink_to("d")

    def second(path):
        def work():
            with pytest.raises(AttentropyError, match="another run"), reserve(path, force=True):
                pass

        return work

    with reserve(tmp_path / "x.html", force=True):
        for name in ("d/link.html", "d/../x.html", "e/link.html"):
            assert in_child(second(tmp_path / name)) == 0
        (tmp_path / "x.html").unlink()
        assert in_child(second(tmp_path / "d" / ".." / "x.html")) == 0


def _killed(path):
    """Reserve a place in a process that is killed then, with something half written."""

    def work():
        with reserve(path) as place:
            (place.scratch / "new").write_text("half")
            place.folder("run")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work) == -signal.SIGKILL
    return scratch_folder(path)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, name):
    folder = _killed(tmp_path / name)
    assert {p.name for p in folder.iterdir()} == {lock.NAME, "new", "run"}
    other = _killed(tmp_path / f"other.{name}")
    with reserve(tmp_path / name) as place:
        assert {p.name for p in place.scratch.iterdir()} == {lock.NAME}
    assert list(tmp_path.iterdir()) == [other]  # that of another output stays


def _edit(folder, **facts):
    file = folder / lock.NAME
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


def test_a_lock_of_another_host_is_not_stolen(tmp_path):
    folder = _killed(tmp_path / "x.html")
    _edit(folder, host="elsewhere", boot="another", process=1)
    before = snapshot(tmp_path)
    with pytest.raises(AttentropyError) as caught, reserve(tmp_path / "x.html"):
        pass
    assert "(process 1 on elsewhere, since 20" in str(caught.value)
    assert str(caught.value).endswith(f"delete the folder {folder.name} if it has ended")
    assert snapshot(tmp_path) == before


def test_a_lock_from_before_the_machine_was_started_is_stale(tmp_path):
    _edit(_killed(tmp_path / "x.html"), boot="an earlier start", process=1)
    with reserve(tmp_path / "x.html"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("facts", "is_stale"),
    [
        ({}, True),  # the process is gone
        ({"process": os.getpid(), "started": 1}, True),  # another process has its number
        ({"process": os.getpid(), "started": lock._started(os.getpid())}, False),
        ({"process": "1; rm -rf /"}, True),
        ({"process": -1}, True),
    ],
)
def test_where_the_disk_has_no_locks_the_process_and_its_start_decide(
    tmp_path, monkeypatch, facts, is_stale
):
    def none(*arguments):
        raise OSError(37, "No locks available")

    _edit(_killed(tmp_path / "x.html"), **facts)
    monkeypatch.setattr(lock.fcntl, "flock", none)
    if is_stale:
        with reserve(tmp_path / "x.html"):
            pass
        assert list(tmp_path.iterdir()) == []
    else:
        with pytest.raises(AttentropyError, match="another run"), reserve(tmp_path / "x.html"):
            pass


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 9000])
def test_a_lock_that_was_being_written_is_stale(tmp_path, data):
    folder = _killed(tmp_path / "x.html")
    mark = json.loads((folder / lock.NAME).read_text())["format"].encode()
    (folder / lock.NAME).write_bytes(data and mark + data)
    with reserve(tmp_path / "x.html"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [["store"], ["run", "new"]])
def test_what_a_thread_of_a_stopped_run_wrote_after_it_does_not_stand_in_the_way(tmp_path, names):
    for name in names:
        (scratch_folder(tmp_path / "x.html") / name / "trace.zarr").mkdir(parents=True)
    with reserve(tmp_path / "x.html"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_stopped_removes_what_its_threads_write_late(tmp_path, monkeypatch):
    path = tmp_path / "x.zarr"
    late = [scratch_folder(path) / "store" / "c"]

    def write_on(seconds):
        for folder in late:
            folder.mkdir(parents=True)
        late.clear()

    def stopped():
        with reserve(path):
            monkeypatch.setattr("time.sleep", write_on)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert late == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link", "folder", "folder with a lock", "fifo"])
def test_a_foreign_thing_with_the_name_of_the_hidden_folder_stays(tmp_path, kind):
    path = scratch_folder(tmp_path / "x.html")
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        (tmp_path / "there").mkdir()
        path.symlink_to("there")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
        if kind == "folder with a lock":
            (path / lock.NAME).write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(AttentropyError, match="is in the way"), reserve(tmp_path / "x.html"):
        pass
    assert snapshot(tmp_path) == before


def test_a_forked_child_neither_has_the_lock_nor_takes_it_away(tmp_path):
    """A sandbox may outlive the killed run that forked it."""
    reading, writing = os.pipe()

    def run():
        with reserve(tmp_path / "x.html"):
            child = os.fork()
            if not child:
                os.setsid()
                os.close(writing)
                os.read(reading, 1)  # until the test ends it
                return
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(run) == -signal.SIGKILL
    with reserve(tmp_path / "x.html"):
        os.close(writing)
        assert in_child(lambda: None) == 0
        assert scratch_folder(tmp_path / "x.html").is_dir()
    os.close(reading)
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_ends_within_the_run_removes_nothing(tmp_path):
    with reserve(tmp_path / "x.html") as place:
        child = multiprocessing.get_context("fork").Process(target=lambda: None)
        child.start()
        child.join()
        assert place.scratch.is_dir()


def test_an_unfinished_run_is_neither_resumed_nor_replaced_while_another_writes(tmp_path):
    from attentropy.engine.run.extract import extract

    run = PartialTrace(tmp_path / "t.zarr")
    saved = synthetic(layers=1, heads=1).save(tmp_path / "s.zarr")
    run.begin({"tokens": 3, "chunk": 3}, lambda folder: saved.rename(folder))
    before = snapshot(tmp_path)

    def second():
        for options in ({}, {"force": True}, {"resume": True}):
            with pytest.raises(AttentropyError, match=r"another run is writing to 't\.zarr' \("):
                extract("no/such-model", "Paris", output=tmp_path / "t.zarr", **options)

    with run.reserve():
        assert in_child(second) == 0
    assert snapshot(tmp_path) == before
