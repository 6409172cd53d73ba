"""Files from strangers, by the thousand, through the real commands: a line or a result, in bounds.

    python -m tests.report.fuzz_files --cases 2000 -o tests/report/fuzz_files.md

Every case is a file or folder of `hostile_files`: a trace with up to three changes, most sealed
again, an archive that is none, a trace of few bytes that claims much, the folder of an unfinished
run, results of a benchmark, or segments. It goes through `render`, `info`, `export`, `compare` or
`bench --read`, in a process of its own. A case fails by an error that no line explains, by over 10
seconds of the processor, or by over 1 GiB. One page in eight draws its pictures. `--only NUMBER`
shows one case.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from attentropy.report.cli import main as attentropy
from hostile_files import KINDS_OF_FILES, make, save_templates
from pictures import without_pictures

SECONDS, BYTES = 10, 2**30
_WALL = 60 * SECONDS  # wall time of a case, which shares the processor with other work
_DRAWN = 8  # one of this many cases draws its pictures


class Result(NamedTuple):
    """What became of a case: "result", "line" or what failed; its cost."""

    verdict: str
    seconds: float
    peak_bytes: int


def run_case(number: int, templates: Path, folder: Path) -> tuple[str, Result]:
    """Run a case in a process of its own; return its name and what became of it."""
    # zarr starts a thread, and a process with threads is not to be forked: so not in this one.
    _in_child(lambda: _make(number, templates, folder))
    name, arguments = json.loads((folder / "case.json").read_text())
    output = folder / "said.txt"
    is_drawn = number // len(KINDS_OF_FILES) % _DRAWN == 0
    child = os.fork()
    if child == 0:
        _run(arguments, folder, output, is_drawn)
    status, usage = _wait(child)
    seconds, peak = usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss
    return name, Result(_verdict(status, output, seconds, peak), seconds, peak)


def _in_child(work: Callable[[], object]) -> None:
    """Do `work` in a process of its own; raise `RuntimeError` where it fails."""
    if os.waitstatus_to_exitcode(os.waitpid(_start(work), 0)[1]):
        raise RuntimeError("a case was not written")


def _start(work: Callable[[], object]) -> int:
    """Start `work` in a process of its own, and return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _make(number: int, templates: Path, folder: Path) -> None:
    (folder / "case.json").write_text(json.dumps(make(number, templates, folder)))


def _run(arguments: list[str], folder: Path, output: Path, is_drawn: bool) -> None:
    """Run the command in this process, a child, and end it."""
    code = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(folder)
        with contextlib.nullcontext() if is_drawn else without_pictures():
            code = attentropy(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int) -> tuple[int, resource.struct_rusage]:
    until = time.monotonic() + _WALL
    while time.monotonic() < until:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return status, usage
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return status, usage


def _verdict(status: int, output: Path, seconds: float, peak: int) -> str:
    text = output.read_text("utf-8", "replace") if output.exists() else ""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return f"over {_WALL} s or killed"
    if "Traceback" in text or "--debug" in text or code not in (0, 1, 2):
        return f"no line, exit {code}: {text[-200:]}"
    if seconds > SECONDS:
        return f"over {SECONDS} s"
    if peak > BYTES:
        return "over 1 GiB"
    if code == 0:
        return "result"
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    is_usage = text.startswith(("Usage:", "error: "))
    return "line" if len(errors) == 1 or is_usage else f"not one line: {text[-200:]}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6, help="start no case after that")
    parser.add_argument("--only", type=int, help="one case, with its arguments")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.only is not None:
        with tempfile.TemporaryDirectory() as scratch:
            run([arguments.only], Path(scratch))
            print((Path(scratch) / str(arguments.only) / "said.txt").read_text("utf-8", "replace"))
        return
    with tempfile.TemporaryDirectory() as scratch:
        results = run(range(arguments.first, arguments.first + arguments.cases), Path(scratch),
                      arguments.processes, arguments.minutes)  # fmt: skip
    text = report(results)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


def run(
    numbers: Sequence[int], scratch: Path, processes: int = 1, minutes: float = 1e6
) -> dict[int, tuple[str, Result]]:
    """Run the cases, shared by so many processes; print what fails."""
    until = time.monotonic() + 60 * minutes
    templates = scratch / "templates"
    templates.mkdir()
    _in_child(lambda: save_templates(templates))
    lists = [scratch / f"results-{i}" for i in range(processes)]
    children = [
        _start(partial(_run_all, numbers[i::processes], templates, scratch, file, until))
        for i, file in enumerate(lists)
    ]
    for child in children:
        os.waitpid(child, 0)
    rows = [json.loads(line) for file in lists for line in file.read_text().splitlines()]
    return {number: (name, Result(*result)) for number, name, result in sorted(rows)}


def _run_all(
    numbers: Sequence[int], templates: Path, scratch: Path, results: Path, until: float
) -> None:
    for number in numbers:
        if time.monotonic() > until:
            break
        folder = scratch / str(number)
        folder.mkdir()
        name, result = run_case(number, templates, folder)
        if result.verdict not in ("result", "line"):
            print(number, name, result, flush=True)
        if len(numbers) > 1:
            shutil.rmtree(folder)
        with open(results, "a") as file:
            file.write(json.dumps([number, name, result]) + "\n")


def report(results: dict[int, tuple[str, Result]]) -> str:
    """Return the outcomes as Markdown."""
    rows = {kind: Counter[str]() for kind in (*KINDS_OF_FILES, "all")}
    most = {kind: [0.0, 0] for kind in rows}
    for name, result in results.values():
        verdict = result.verdict if result.verdict in ("result", "line") else "failed"
        for row in (name.partition(":")[0], "all"):
            rows[row][verdict] += 1
            most[row] = [max(most[row][0], result.seconds), max(most[row][1], result.peak_bytes)]
    lines = [
        f"| {kind} | {counts['line']:,} | {counts['result']:,} | {counts['failed']:,} "
        f"| {most[kind][0]:.1f} s | {most[kind][1] / 2**20:,.0f} MiB |"
        for kind, counts in rows.items()
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("zarr", "numcodecs", "numpy"))
    return (
        "# Files from strangers\n\n"
        f"`python -m tests.report.fuzz_files --first {min(results, default=0)} "
        f"--cases {len(results)}` (a case's number is its seed).\n\n"
        "| kind of file | refused in one line | page, figure or facts | failed | most time "
        "| most memory |\n| --- | --- | --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\n"
        f"Failed is an error that no line explains, over {SECONDS} s of the processor, or over "
        "1 GiB; time and memory are those of the command's process. "
        f"One page in {_DRAWN} draws its pictures. Python {platform.python_version()}, {versions}, "
        f"{platform.system()} {platform.machine()}.\n"
    )


if __name__ == "__main__":
    main()
