"""One way to write: whole or not at all, with the mode of what it replaces, through a link."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.output.place import keep_mode, reserve, scratch_folder
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.translator.file import write_translator
from attentropy.engine.translator.translator import AffineMap
from attentropy.report.compare.difference import compare
from attentropy.report.export.exported import Exported
from pictures import without_pictures
from places import as_nobody, snapshot
from stores import pair
from traces import synthetic


def _write(path, data=b"new", *, force=False):
    with reserve(path, force=force) as place:
        place.write(data)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path, umask, mode):
    earlier = os.umask(umask)
    try:
        _write(tmp_path / "x.html")
        synthetic(layers=1, heads=1).save(tmp_path / "t.zarr")
    finally:
        os.umask(earlier)
    assert _mode(tmp_path / "x.html") == mode
    assert _mode(tmp_path / "t.zarr") == mode | (mode & 0o444) >> 2


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    file = tmp_path / "x.html"
    file.write_text("old")
    file.chmod(mode)
    _write(file, force=True)
    assert (file.read_bytes(), _mode(file)) == (b"new", mode)


def test_a_store_that_is_replaced_keeps_its_mode(tmp_path):
    store = synthetic(layers=1, heads=1).save(tmp_path / "t.zarr")
    store.chmod(0o700)
    synthetic(layers=1, heads=1, seed=1).save(store, force=True)
    assert _mode(store) == 0o700


def test_owner_and_group_stay_where_that_is_allowed(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    file = tmp_path / "x.html"
    file.write_text("old")
    os.chown(file, 1234, 4321)
    _write(file, force=True)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


def test_without_the_group_its_permissions_are_no_more_than_everybodys():
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    old, new = folder / "old", folder / "new"
    old.write_text("old")
    os.chown(old, 1234, 4321)
    old.chmod(0o664)

    def work():
        new.write_text("new")
        keep_mode(new, old)
        assert _mode(new) == 0o644

    try:
        assert as_nobody(work) == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["x.html", "t.zarr", "t.zarr.zip"])
@pytest.mark.parametrize("how", ["relative", "absolute", "link to a link"])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path, name, how):
    """As with a shell's `>`: also where that lies in another folder."""
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / f"real.{name.partition('.')[2]}", tmp_path / name
    first, second = synthetic(layers=1, heads=1), synthetic(layers=1, heads=1, seed=1)
    if name == "x.html":
        real.write_text("old")
        real.chmod(0o600)
    else:
        first.save(real)
    goal = real if how == "absolute" else Path("there") / real.name
    if how == "link to a link":
        (tmp_path / "between").symlink_to(goal)
        goal = Path("between")
    link.symlink_to(goal)
    with pytest.raises(UsageError, match="exists; use `force=True`"):
        _write(link) if name == "x.html" else second.save(link)
    if name == "x.html":
        _write(link, force=True)
        assert (real.read_bytes(), _mode(real)) == (b"new", 0o600)
    else:
        second.save(link, force=True)
        assert (Trace.open(link)["entropy"] == second["entropy"]).all()
    assert link.readlink() == goal
    assert [p.name for p in (tmp_path / "there").iterdir()] == [real.name]
    assert len(list(tmp_path.iterdir())) == 2 + (how == "link to a link")


def test_a_link_to_a_folder_above_is_the_folders(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to("there")
    _write(tmp_path / "here" / "x.html")
    assert snapshot(tmp_path / "there").keys() == {"x.html"}


def test_what_came_in_the_meantime_is_not_replaced(tmp_path):
    file = tmp_path / "x.html"
    with reserve(file) as place:
        file.write_text("somebody's")
        with pytest.raises(UsageError, match=r"'x\.html' exists"):
            place.write(b"ours")
    with reserve(file, force=True) as place:
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(UsageError, match="is a device or a pipe"):
            place.write(b"ours")
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "x.html"
    file.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            _write(file, force=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            _write(file, force=True)
    assert snapshot(tmp_path).keys() == {"x.html"}
    assert file.read_text() == "old"


@pytest.mark.parametrize("name", ["X.html", "x.HTML", "x.html"])
def test_names_that_a_disk_may_take_for_one_share_a_lock(tmp_path, name):
    assert scratch_folder(tmp_path / name) == scratch_folder(tmp_path / "x.html")
    assert scratch_folder(tmp_path / "\u00e9.html") == scratch_folder(tmp_path / "e\u0301.html")
    assert scratch_folder(tmp_path / "y.html") != scratch_folder(tmp_path / "x.html")


def _writers():
    """Return every way of Python's to write a file or a store, by its name."""
    trace, difference = synthetic(layers=1, heads=1), pair()
    figure = Exported(b"a,b\n", "title", "caption", "csv")
    maps = {0: AffineMap(*_unit_map())}
    return {
        "t.zarr": trace.save,
        "t.zarr.zip": trace.save,
        "d.zarr": difference.save,
        "d.zarr.zip": compare(trace, trace, ("a", "b")).save,
        "r.html": trace.report,
        "d.html": difference.report,
        "f.svg": trace.export,
        "f.csv": figure.save,
        "m.lens.safetensors": lambda path, **options: write_translator(
            path, maps, kind="residual", layers=2, **options
        ),
    }


def _unit_map():
    import torch

    return torch.eye(2), torch.zeros(2)


@pytest.mark.costly
@pytest.mark.parametrize("name", list(_writers()))
def test_every_way_to_write_keeps_mode_and_link_and_leaves_nothing(tmp_path, name):
    write, file = _writers()[name], tmp_path / "there" / name
    file.parent.mkdir()
    with without_pictures():
        write(file)
        file.chmod(0o700)
        link = tmp_path / name
        link.symlink_to(file)
        with pytest.raises(UsageError, match="exists; use `force=True`"):
            write(link)
        write(link, force=True)
        assert link.is_symlink()
        assert _mode(file) == 0o700
        assert [p.name for p in file.parent.iterdir()] == [name]
        os.mkfifo(tmp_path / "there" / f"fifo.{name}")
        before = snapshot(tmp_path)
        with pytest.raises(UsageError, match="is a device or a pipe"):
            write(tmp_path / "there" / f"fifo.{name}", force=True)
        assert snapshot(tmp_path) == before
