"""Every kind of thing that an output's name may lead to: refused in one line before any work.

What is refused stays as it is, and nothing is left next to it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.output.check import check_output
from attentropy.engine.output.place import reserve
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from places import as_nobody, snapshot
from traces import save_synthetic, synthetic


def _fifo(path):
    os.mkfifo(path)


def _foreign(path):
    path.mkdir()
    (path / "thesis.txt").write_text("mine")


def _own(path):
    save_synthetic(path, layers=1, heads=1, window=False)


def _own_and_more(path):
    _own(path)
    (path / "notes.txt").write_text("mine")


def _own_and_a_link(path):
    _own(path)
    (path / "c").symlink_to("/etc")


def _link_to(target):
    def make(path):
        path.with_name("elsewhere").mkdir()
        path.symlink_to(target)

    return make


def _link_to_foreign(path):
    _foreign(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _loop(path):
    path.symlink_to(path.name)


REFUSED = {
    "a fifo": ("x.html", _fifo, "is a device or a pipe; name a file"),
    "a device": ("x.html", _link_to("/dev/null"), "is a device or a pipe; name a file"),
    "a terminal": ("x.html", _link_to("/dev/tty"), "is a device or a pipe|no such device"),
    "a folder for a page": ("x.html", _foreign, "is a folder; name a file"),
    "a link to a folder": ("x.html", _link_to("elsewhere"), "is a folder; name a file"),
    "a dangling link": ("x.html", _link_to("gone.html"), "a link to what does not exist"),
    "a link into nowhere": ("x.html", _link_to("gone/x.html"), "a link to what does not exist"),
    "a loop of links": ("x.html", _loop, "links lead in a circle"),
    "a file for a folder": ("x.zarr", lambda path: path.write_text("mine"), "is a file, but"),
    "a folder for an archive": ("x.zarr.zip", _foreign, "is a folder; name a file"),
    "a foreign folder": ("x.zarr", _foreign, "files that attentropy did not write"),
    "an empty folder": ("x.zarr", Path.mkdir, "files that attentropy did not write"),
    "a trace and notes": ("x.zarr", _own_and_more, "files that attentropy did not write"),
    "a trace and a link": ("x.zarr", _own_and_a_link, "files that attentropy did not write"),
    "a link to a foreign folder": (
        "x.zarr", _link_to_foreign, "files that attentropy did not write",
    ),
    "a fifo for a trace": ("x.zarr", _fifo, "is a device or a pipe"),
    "no parent": ("no/x.html", lambda path: None, "there is no folder '.*no'"),
    "a parent that is a file": (
        "f/x.html", lambda path: path.parent.write_text("mine"), "is not a folder",
    ),
    "no way back": ("no/../x.html", lambda path: None, "there is no folder"),
    "a home": ("~/x.html", lambda path: None, "there is no folder"),
    "a name too long": ("x" * 251 + ".html", lambda path: None, "too long by 1 bytes"),
    "letters too long": ("é" * 126 + ".html", lambda path: None, "too long by 2 bytes"),
    "a path too long": ("d/" * 3000 + "x.html", lambda path: None, "too long|there is no folder"),
    "within a trace": ("t.zarr/x.html", lambda path: _own(path.parent), "written into 't.zarr'"),
    "no name": ("..", lambda path: None, "is a folder; name a file in it"),
    "a zero": ("a\0.html", lambda path: None, "null byte|null character"),
}  # fmt: skip


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_cannot_be_written_is_refused_in_one_line_and_stays(tmp_path, kind, force):
    name, make, message = REFUSED[kind]
    path = tmp_path / name
    make(path)
    before = snapshot(tmp_path)
    match = message if force else None
    with pytest.raises(UsageError, match=match) as caught, reserve(path, force=force):
        pytest.fail("it was reserved")
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


def test_a_home_that_the_shell_did_not_replace_is_named():
    with pytest.raises(UsageError, match="~ is not replaced by your home folder"):
        check_output(Path("~/no-such-folder/x.html"))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("x.html", lambda path: None),
        ("x.html", lambda path: path.write_text("an older page")),
        ("x" * 250 + ".html", lambda path: None),
        ("x.zarr", lambda path: None),
        ("x.zarr", _own),
        ("x.zarr.zip", _own),
        ("d/../x.html", lambda path: (path.parents[2] / "d").mkdir()),
        (".partial", lambda path: None),
        ("x y\n\x1b[0m.html", lambda path: None),
        (os.fsdecode(b"\xff.html"), lambda path: None),
    ],
)
def test_what_can_be_written_is_reserved_and_left_as_it_was(tmp_path, name, make):
    path = tmp_path / name
    make(path)
    before = snapshot(tmp_path)
    with reserve(path, force=True):
        assert {p.name for p in tmp_path.iterdir()} - {*before} - {"d"} != set()
    assert snapshot(tmp_path) == before


UNFINISHED = {
    "a file": (lambda path: path.write_text("mine"), "has something that attentropy did not"),
    "a foreign folder": (_foreign, "has something that attentropy did not write"),
    "an empty folder": (Path.mkdir, "has something that attentropy did not write"),
    "a fifo": (_fifo, "has something that attentropy did not write"),
    "a link": (_link_to("elsewhere"), "has something that attentropy did not write"),
    "a dangling link": (_link_to("gone"), "has something that attentropy did not write"),
}


@pytest.mark.parametrize("options", [{}, {"force": True}, {"resume": True}])
@pytest.mark.parametrize("kind", list(UNFINISHED))
def test_what_only_has_the_name_of_an_unfinished_run_stays(tmp_path, kind, options):
    make, message = UNFINISHED[kind]
    make(tmp_path / "t.zarr.partial")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=message):  # no model is loaded: there is none
        extract("no/such-model", "Paris", output=tmp_path / "t.zarr", **options)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("foreign", ["notes.txt", "commits.zip"])
def test_an_unfinished_run_with_a_file_of_somebody_else_is_not_deleted(tmp_path, foreign):
    run = PartialTrace(tmp_path / "t.zarr")
    run.begin({"tokens": 3, "chunk": 3}, _own)
    (run.folder / foreign).write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="has something that attentropy did not write"):
        extract("no/such-model", "Paris", output=tmp_path / "t.zarr", force=True)
    with pytest.raises(UsageError, match="has something that attentropy did not write"):
        run.discard()
    assert snapshot(tmp_path) == before


def test_a_name_that_is_too_long_for_the_unfinished_run_is_refused_first(tmp_path):
    name = "x" * (255 - len(".zarr.partial") + 1) + ".zarr"
    with pytest.raises(UsageError, match="too long by 1 bytes"):
        extract("no/such-model", "Paris", output=tmp_path / name)
    assert synthetic(layers=1, heads=1).save(tmp_path / name).is_dir()


@pytest.fixture
def shared():
    """Yield a folder that every user can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _refuses(path, message, **options):
    def work():
        with pytest.raises(UsageError, match=message) as caught, reserve(path, **options):
            pass
        assert "\n" not in str(caught.value)

    return work


def test_a_folder_that_may_only_be_read_is_refused(shared):
    assert as_nobody(_refuses(shared / "x.html", "cannot write to the output folder")) == 0
    assert list(shared.iterdir()) == []


def test_a_file_that_may_only_be_read_is_not_replaced_even_by_force(shared):
    shared.chmod(0o777)
    file = shared / "x.html"
    file.write_text("mine")
    file.chmod(0o444)
    assert as_nobody(_refuses(file, "is read-only, so it is not replaced", force=True)) == 0
    file.chmod(0o666)
    shared.chmod(0o1777)  # as /tmp
    assert as_nobody(_refuses(file, "belongs to another user", force=True)) == 0
    assert [p.name for p in shared.iterdir()] == ["x.html"]
    assert file.read_text() == "mine"


def test_the_folder_of_another_users_run_is_left_alone(shared):
    shared.chmod(0o777)
    target = shared / "x.html"

    def work():
        from attentropy.engine.errors import AttentropyError

        with pytest.raises(AttentropyError, match="another user is writing"), reserve(target):
            pass

    with reserve(target):
        assert as_nobody(work) == 0
    assert list(shared.iterdir()) == []


def test_a_trace_saves_where_a_run_would_and_opens(tmp_path):
    path = synthetic(layers=1, heads=1).save(tmp_path / "t.zarr")
    with pytest.raises(UsageError, match=r"'t\.zarr' exists; use `force=True`"):
        synthetic(layers=1, heads=1).save(path)
    assert Trace.open(synthetic(layers=1, heads=1, seed=1).save(path, force=True))
