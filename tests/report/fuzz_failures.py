"""System calls that fail, by the thousand: each command ends in one line, and leaves nothing.

    python tests/report/fuzz_failures.py --cases 2000 -o tests/report/fuzz_failures.md

In every case the n-th call of one kind fails with an error that such calls have, in a command that
runs in a fork of this process. The command must succeed, or end with code 1 or 2 and one line;
there must be no traceback, and no file that was not there before but the output, and what the
line names.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import fcntl
import io
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from attentropy.report import vega
from attentropy.report.cli import main
from pictures import without_pictures
from traces import synthetic

COMMANDS = {
    "info": ["info", "a.zarr.zip"],
    "csv": ["export", "a.zarr.zip", "-o", "x.csv"],
    "comparison": ["compare", "a.zarr.zip", "b.zarr", "-o", "x.zarr"],
    "archive": ["compare", "a.zarr.zip", "b.zarr", "-o", "x.zarr.zip"],
    "page": ["render", "b.zarr", "-o", "x.html"],
    "figure": ["export", "b.zarr", "-o", "x.svg"],
    "extract": ["extract", "-p", "Hello", "--max-new-tokens", "1", "-o", "x.zarr"],
    "report": ["report", "-p", "Hello", "--max-new-tokens", "1", "-o", "x.html"],
}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
_PLACE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOENT, errno.ESTALE, errno.ELOOP)
_HANDLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# Kind of call → what is replaced, the errors it may have, and the most calls before the one.
KINDS: dict[str, tuple[list[tuple[Any, str]], tuple[int, ...], int]] = {
    "open": ([(builtins, "open"), (io, "open"), (os, "open")], _PLACE + _HANDLES + _DISK, 40),
    "mkdir": ([(os, "mkdir")], _PLACE + _DISK, 30),
    "rename": ([(os, "rename"), (os, "replace")], (*_PLACE, *_DISK, errno.EXDEV, errno.EBUSY), 30),
    "fsync": ([(os, "fsync")], _DISK, 20),
    "child": (
        [(vega.subprocess, "Popen"), (os, "fork")],
        (errno.EAGAIN, errno.ENOMEM, *_HANDLES),
        2,
    ),
    "pipe": ([(os, "pipe")], _HANDLES, 2),
    "limit": ([(resource, "setrlimit")], (errno.EPERM, errno.EINVAL), 3),
    "lock": ([(fcntl, "flock")], (errno.ENOLCK, errno.ENOSYS), 2),
    "unlink": ([(os, "unlink"), (os, "rmdir")], (*_PLACE, errno.EBUSY, errno.EIO), 8),
    "truncate": ([(os, "ftruncate"), (os, "chmod")], (*_DISK, errno.EPERM), 2),
    "listdir": ([(os, "listdir"), (os, "scandir")], _PLACE + _HANDLES, 10),
    "stat": ([(os, "stat"), (os, "lstat")], (*_PLACE, errno.EIO), 60),
}
_MAY_LEAVE, _HIDDEN = ("stat", "unlink"), ".attentropy-"  # what no run can remove then


def save_inputs(folder: Path) -> None:
    """Write the two traces that the commands read."""
    for seed, name in enumerate(("a.zarr.zip", "b.zarr")):
        synthetic(layers=2, heads=2, window=False, seed=seed).save(folder / name)


def case_of(number: int) -> tuple[str, str, int, int]:
    """Return command, kind of call, error and number of the call of a case."""
    rng = random.Random(number)
    command, kind = rng.choice(list(COMMANDS)), rng.choice(list(KINDS))
    _, errors, most = KINDS[kind]
    if rng.random() < 0.15:
        kind = "file size"
    return command, kind, rng.choice(errors), rng.randrange(most)


def run(number: int, inputs: Path) -> str:
    """Run a case; return "success", "one line" or what is wrong."""
    command, kind, error, at = case_of(number)
    before = sorted(os.listdir(inputs))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _command(inputs, command, kind, error, at, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        err.seek(0)
        lines = err.read().decode(errors="replace").splitlines()
    output = Path(COMMANDS[command][-1]).name if command != "info" else ""
    new = [name for name in sorted(os.listdir(inputs)) if name not in before]
    if kind in _MAY_LEAVE and any(name.startswith(_HIDDEN) for name in new):
        _run_again(inputs, command)
        new = [name for name in new if os.path.lexists(inputs / name)]
    for name in new:
        os.system(f"rm -rf '{inputs / name}'")
    lines = [line for line in lines if not line.startswith(("note: ", "- "))]
    if code == 0:
        return "success" if new == [output] * bool(output) else f"success leaves {new}"
    if len(lines) != 1 or not lines[0].startswith("error: ") or code not in (1, 2):
        return f"code {code}: {' | '.join(lines)[-300:]}"
    if "--debug" in lines[0]:
        return f"no words: {lines[0]}"
    # A failure after the last rename leaves the output, whole, and one after long work a trace or a
    # run to resume, which the line names.
    rest = [name for name in new if name != output and name not in lines[0]]
    return "one line" if not rest else f"left {rest}: {lines[0]}"


def _run_again(inputs: Path, command: str) -> None:
    """Run a command without a failure: it removes what the last one could not."""
    if not (child := os.fork()):
        with open(os.devnull, "w") as nowhere:
            _command(inputs, command, "", 0, 0, nowhere.fileno(), nowhere.fileno())
    os.waitpid(child, 0)


def _command(
    folder: Path, command: str, kind: str, error: int, at: int, out: int, err: int
) -> None:
    code = 99
    try:
        os.chdir(folder)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
        if kind == "file size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (500 * at + 500,) * 2)
            code = main(list(COMMANDS[command]))
        else:
            words = [*COMMANDS[command], *["--force"] * (not kind)]
            code = _failing(words, kind, error, at)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _failing(words: list[str], kind: str, error: int, at: int) -> int:
    """Run a command in which call number `at` of a kind fails."""
    calls = [0]

    def fails(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == at + 1:
                named = (
                    arguments[0] if arguments and isinstance(arguments[0], (str, Path)) else None
                )
                raise OSError(error, os.strerror(error), *([str(named)] if named else []))
            return real(*arguments, **options)

        return call

    patches = [
        mock.patch.object(*place, fails(getattr(*place))) for place in KINDS.get(kind, [[]])[0]
    ]
    for patch in patches:
        patch.start()
    try:
        return main(list(words))
    finally:
        for patch in patches:
            patch.stop()


def report(outcomes: dict[int, str], seconds: float) -> str:
    """Return the outcomes as a Markdown table."""
    rows: dict[str, Counter[str]] = {}
    for number, result in outcomes.items():
        command, kind, *_ = case_of(number)
        verdict = result if result in ("success", "one line") else "failed"
        for row in (f"call: {kind}", f"command: {command}", "all"):
            rows.setdefault(row, Counter())[verdict] += 1
    lines = [
        f"| {name} | {n['one line']:,} | {n['success']:,} | {n['failed']:,} |"
        for name, n in sorted(rows.items(), key=lambda item: (item[0] == "all", item[0]))
    ]
    return (
        "# Failing system calls\n\n"
        f"`python tests/report/fuzz_failures.py --cases {len(outcomes)}` (a case's number is its "
        "seed).\n\n| what failed, where | one line | success | failed |\n"
        "| --- | --- | --- | --- |\n"
        + "\n".join(lines)
        + "\n\nA success is a command that did not need the call, or made it fewer times. Failed "
        "is a traceback, more than one line, a line without words for the error, or anything left "
        "besides the inputs and what the line names. "
        f"All took {seconds / 60:.0f} min on a shared machine.\n"
    )


def warm(inputs: Path) -> None:
    """Run each command once, so that its imports are not among the calls that fail."""
    for command in COMMANDS.values():
        with tempfile.TemporaryDirectory() as folder, mock.patch("sys.stdout", io.StringIO()):
            words = [str(inputs / w) if w.startswith(("a.", "b.")) else w for w in command]
            words = [str(Path(folder) / w) if w.startswith("x.") else w for w in words]
            assert main(words) == 0


def main_of_fuzz() -> None:
    """Run the command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no case after that")
    parser.add_argument("--command", choices=COMMANDS, help="cases of this command alone")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    started, outcomes = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder, without_pictures():
        save_inputs(Path(folder))
        warm(Path(folder))
        for number in range(arguments.first, arguments.first + arguments.cases):
            if arguments.command not in (None, case_of(number)[0]):
                continue
            outcomes[number] = run(number, Path(folder))
            if outcomes[number] not in ("success", "one line"):
                print(number, case_of(number), outcomes[number], flush=True)
            if time.perf_counter() - started > arguments.seconds:
                break
    text = report(outcomes, time.perf_counter() - started)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main_of_fuzz()
