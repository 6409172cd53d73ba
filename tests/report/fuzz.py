"""Damaged and hostile traces, by the thousand: each is refused in one line or gives a true page.

    python -m tests.report.fuzz --cases 2000 -o tests/report/fuzz.md

Every case is a small trace (with `--of comparison` a saved comparison), as a folder or as an
archive, with one or two changes of `KINDS`. Half of the cases are accidents: the digests stay as
they were, and if there is a page, it must be equal to that of the undamaged store. The other half
come from a stranger, who updates the digests after the change, and the copies of metadata: their
pages must be well-formed. One case in eight draws its pictures; the others only compute the values
of the pictures. A case may take 10 seconds and 1 GiB. Each failure is printed with its number, and
`--only NUMBER` runs the case again with its traceback.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from damage import COPIES, KINDS
from damaged_cases import make, outcome, rendered, save_template

SECONDS, BYTES = 10, 2**30
_WALL = 6 * SECONDS  # wall time of a case, which shares the processor with other work
_DRAWN = 8  # one of this many cases draws its pictures
Case = tuple[str, str, float]  # the changes, the outcome, the processor time in seconds


def _work(numbers: Any, results: Any, template: Path) -> None:
    """Run cases one after the other in a process that may take 1 GiB of additional memory."""
    whole = {drawn: rendered(template, drawn) for drawn in (False, True)}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    for number in iter(numbers.get, None):
        with tempfile.TemporaryDirectory() as folder:
            names, path = make(number, template, Path(folder))
            results.put((number, names, None, 0.0))
            started = time.process_time()
            drawn = number // len(KINDS) % _DRAWN == 0
            try:
                result = outcome(path, names, whole[drawn], drawn)
            except BaseException as error:
                result = f"{type(error).__name__}: {str(error)[:300]}"
            seconds = time.process_time() - started
            if seconds > SECONDS and result in ("page", "refused"):
                result = f"over {SECONDS} s"
            results.put((number, names, result, seconds))


def run(
    cases: range, processes: int, stream: Path | None = None, of: str = "trace"
) -> dict[int, Case]:
    """Run the cases and return their outcomes; append each to `stream` as a line of JSON."""
    context = multiprocessing.get_context("spawn")
    outcomes: dict[int, Case] = {}
    n_written = 0
    with tempfile.TemporaryDirectory() as folder:
        template = save_template(of, Path(folder))
        shares = [list(cases)[i::processes] for i in range(processes)]
        workers = [_Worker(context, share, template) for share in shares if share]
        going = True
        while going:
            time.sleep(0.01)
            going = sum(worker.step(outcomes) for worker in workers) > 0
            if stream is not None and len(outcomes) > n_written:
                with open(stream, "a", encoding="utf-8") as file:
                    for number in list(outcomes)[n_written:]:
                        file.write(json.dumps([number, *outcomes[number]]) + "\n")
                n_written = len(outcomes)
    return outcomes


class _Worker:
    """A process that runs its share of the cases and is replaced if a case hangs or kills it."""

    def __init__(self, context: Any, share: list[int], template: Path) -> None:
        self.context, self.left, self.template = context, share, template
        self._start()

    def _start(self) -> None:
        self.numbers, self.results = self.context.Queue(), self.context.Queue()
        for number in (*self.left, None):
            self.numbers.put(number)
        arguments = (self.numbers, self.results, self.template)
        self.process = self.context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        self.current: tuple[int, str] | None = None
        self.since = time.perf_counter()

    def step(self, outcomes: dict[int, Case]) -> bool:
        """Collect finished cases; return whether cases are left."""
        while not self.results.empty():
            number, names, result, seconds = self.results.get()
            self.since = time.perf_counter()
            self.current = (number, names) if result is None else None
            if result is not None:
                outcomes[number] = (names, result, seconds)
                self.left.remove(number)
        hangs = self.current is not None and time.perf_counter() - self.since > _WALL
        if self.left and (hangs or not self.process.is_alive()) and self.results.empty():
            if self.current is None:
                raise RuntimeError("a worker ended without a case")
            number, names = self.current
            outcomes[number] = (names, f"over {_WALL} s" if hangs else "the process died", SECONDS)
            self.left.remove(number)
            self.process.kill()
            self._start()
        return bool(self.left)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=("trace", "comparison"), default="trace")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="one case, with its traceback")
    parser.add_argument("--stream", type=Path, help="results as they come, a line of JSON each")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            template = save_template(arguments.of, Path(folder))
            names, path = make(arguments.only, template, Path(folder) / "case")
            print(names)
            try:
                drawn = arguments.only // len(KINDS) % _DRAWN == 0
                print(outcome(path, names, rendered(template, drawn), drawn))
            except Exception:
                traceback.print_exc()
        return
    started = time.perf_counter()
    outcomes = run(
        range(arguments.first, arguments.first + arguments.cases),
        arguments.processes,
        arguments.stream,
        arguments.of,
    )
    bad = {n: case for n, case in sorted(outcomes.items()) if case[1] not in ("page", "refused")}
    for number, (names, result, seconds) in bad.items():
        print(f"{number}: {names}: {result} ({seconds:.1f} s)")
    text = report(outcomes, time.perf_counter() - started, arguments.of)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    sys.exit(1 if bad else 0)


def report(outcomes: dict[int, Case], seconds: float, of: str = "trace") -> str:
    """Return the outcomes as a Markdown table with a description."""
    rows: dict[str, Counter[str]] = {}
    for names, result, _ in outcomes.values():
        verdict = result if result in ("page", "refused") else "failed"
        kind, place, whose = names.split(":")[0].split(", ")
        for row in (kind, place, {"accident": "an accident", "stranger": "a stranger's"}[whose]):
            rows.setdefault(row, Counter())[verdict] += 1
    kinds = KINDS | COPIES
    order = [*kinds, *(row for row in rows if row not in kinds)]
    total = Counter(r if r in ("page", "refused") else "failed" for _, r, _ in outcomes.values())
    lines = [
        f"| {name} | {counts['refused']:,} | {counts['page']:,} | {counts['failed']:,} |"
        for name, counts in [*((row, rows[row]) for row in order if row in rows), ("all", total)]
    ]
    slowest = max((seconds for _, _, seconds in outcomes.values()), default=0.0)
    versions = ", ".join(f"{name} {version(name)}" for name in ("zarr", "numcodecs", "numpy"))
    return (
        f"# Damaged and hostile {of}s\n\n"
        f"`python -m tests.report.fuzz --of {of} --first {min(outcomes, default=0)} "
        f"--cases {len(outcomes)}` (a case's number is its seed).\n\n"
        "| what was changed first | refused in one line | page | failed |\n"
        "| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\n"
        f"Failed is a traceback, over {SECONDS} s of the processor or {_WALL} s in all, over 1 GiB "
        "beyond the process's own, markup in the page, or of an accident a page other than the "
        "undamaged trace's. An accident leaves the trace's digests as they were; a stranger seals "
        f"what they changed. One case in {_DRAWN} draws its pictures. The slowest took "
        f"{slowest:.1f} s, all of them {seconds / 60:.0f} min on a shared machine; Python "
        f"{platform.python_version()}, {versions}, {platform.system()} {platform.machine()}.\n"
    )


if __name__ == "__main__":
    main()
