"""What lies in a folder before and after, and processes that end at a chosen step of their work."""

from __future__ import annotations

import os
import signal
import stat
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

_NOBODY = 65534
# What an output is written with: each call of one of them is a step after which a kill may come.
STEPS = ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir", "ftruncate", "chmod")


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return kind, mode, owner and contents of everything below a folder, links not followed."""
    contents = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            status = path.lstat()
            kind, data = stat.S_IFMT(status.st_mode), b""
            if stat.S_ISLNK(kind):
                data = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(kind):
                data = path.read_bytes()
            facts = (kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, data)
            contents[str(path.relative_to(folder))] = facts
    return contents


def in_child(work: Callable[[], object]) -> int:
    """Do `work` in a forked process; return its exit code, minus the signal that ended it.

    0 is success, 3 an error of the work, which is printed.
    """
    process = os.fork()
    if not process:
        code = 3
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def as_nobody(work: Callable[[], object]) -> int:
    """Do `work` in a process without root's rights; skip the test where there is no other user."""
    if os.geteuid() != 0:
        return in_child(work)
    try:
        return in_child(lambda: (os.setgroups([]), os.setgid(_NOBODY), os.setuid(_NOBODY), work()))
    except PermissionError:
        pytest.skip("root here, and it may not become another user")


def killed_at(step: int | None, work: Callable[[], object]) -> tuple[int, list[str]]:
    """Do `work` in a forked process that is killed before its step number `step`, from 0.

    Returns its exit code and, for None, which kills it nowhere, the names of all steps.
    """
    reading, writing = os.pipe()

    def counted() -> None:
        count_steps(step, lambda name: os.write(writing, f"{name}\n".encode()))
        work()

    code = in_child(counted)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return code, pipe.read().split()


def count_steps(
    step: int | None,
    tell: Callable[[str], object] = lambda name: None,
    names: Sequence[str] = STEPS,
) -> None:
    """From here on, kill this process before its step number `step`, and tell each step's name.

    Steps with other names than `names` do not count.
    """
    count = -1
    process = os.getpid()

    def watched(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if os.getpid() == process:
                count += 1
                if count == step:
                    os.kill(process, signal.SIGKILL)
                tell(name)
            return call(*arguments, **options)

        return counting

    for name in names:
        setattr(os, name, watched(name))
