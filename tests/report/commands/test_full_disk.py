"""Every command on a real disk that is full, or becomes full while it writes."""

import os
import subprocess
import sys

import pytest

from commands_in_turn import WRITING, make_inputs

# Mount a small disk where nobody else sees it, run the command there, and say what is left.
_SCRIPT = """
mount -t tmpfs -o size=1m small "$DISK" || exit 77
cd "$DISK" && head -c 1G /dev/zero > filling 2>/dev/null; truncate -s -$FREE filling
cd "$PLACE" && "$@"; code=$?
ls -A > "$LEFT"; ls -A "$DISK" > "$ON_DISK"
if [ -n "$THEN" ]; then
  rm "$DISK/filling"; mount -o remount,size=64m "$DISK"
  "$@" $THEN; code=$?
fi
exit $code
"""
_OWN_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c", _SCRIPT, "sh"]
_FREE = {"full": "8k", "soon full": "96k"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


def _run(command, inputs, folder, *, free, is_place, then=""):
    """Run a command with a small disk as its place, or as its folder for temporary files.

    Returns code and lines of the last run, and the names left at its place and on the disk.
    """
    disk, place = folder / "disk", folder / "place"
    for path in (disk, place):
        path.mkdir()
    arguments = [part.replace("@", f"{inputs}/") for part in WRITING[command]]
    variables = {
        "FREE": free, "DISK": disk, "PLACE": disk if is_place else place,
        "LEFT": folder / "left", "ON_DISK": folder / "on_disk", "THEN": then,
        "OMP_NUM_THREADS": "1", "TMPDIR": folder if is_place else disk, "LC_ALL": "C",
    }  # fmt: skip
    done = subprocess.run(
        [*_OWN_DISK, sys.executable, "-m", "attentropy.report.cli", *arguments], cwd=folder,
        env=os.environ | {key: str(value) for key, value in variables.items()}, text=True,
        capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system lets nobody mount a disk of one's own")
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("note: ", "- "))]
    left, on_disk = ((folder / name).read_text().split() for name in ("left", "on_disk"))
    return done.returncode, lines, set(left), {*on_disk} - {"filling"}


@pytest.mark.slow
@pytest.mark.parametrize("free", list(_FREE))
@pytest.mark.parametrize("command", list(WRITING))
def test_a_full_disk_is_one_line_and_leaves_nothing_that_it_does_not_name(
    inputs, tmp_path, command, free
):
    code, lines, left, _ = _run(command, inputs, tmp_path, free=_FREE[free], is_place=True)
    if code == 0:  # its output is small
        assert free == "soon full"
        return
    assert code == 1, lines
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "the disk is full" in lines[0]
    assert {name for name in left - {"filling"} if name not in lines[0]} == set()


@pytest.mark.slow
@pytest.mark.parametrize("command", list(WRITING))
def test_a_full_folder_for_temporary_files_is_one_line_or_no_matter(inputs, tmp_path, command):
    code, lines, left, on_disk = _run(command, inputs, tmp_path, free="0", is_place=False)
    assert on_disk == set()
    if code:
        assert code == 1
        assert len(lines) == 1
        assert "the disk is full" in lines[0]
        assert {name for name in left if name not in lines[0]} == set()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["extract", "extract folder"])
def test_a_run_that_filled_the_disk_is_resumed_when_there_is_space(inputs, tmp_path, command):
    code, lines, left, _ = _run(
        command, inputs, tmp_path, free="600k", is_place=True, then="--resume"
    )
    assert code == 0, lines
    assert "use --resume to continue" in lines[0]
    assert any(name.endswith(".partial") for name in left)
