"""Outputs by the thousand: what is there, which command, which options; nothing foreign is touched.

    python -m tests.report.fuzz_outputs --cases 2000 -o tests/report/fuzz_outputs.md

Every case puts something at an output's place, at that of its unfinished run and in the folder, and
runs a command that writes there. `render`, `export` and `compare` run whole, on a tiny trace; of
those that run a model the run itself is replaced by a trace that is ready, after all that they
check. The folder is compared with what it was. A command that fails changes nothing. One that
succeeds changes its output alone: where nothing was, or, with `--force`, a file (which keeps its
mode) or a whole store. The exit code is 0, 1 or 2, and an error one line. `--only NUMBER` shows one
case.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from attentropy.report.cli import main
from places import snapshot
from traces import profiled, synthetic

# command -> its arguments, "@" for the output, and the endings that fit, with some that do not
COMMANDS = {
    "render": (["render", "a.zarr", "-o", "@"], (".html", ".htm")),
    "export": (["export", "a.zarr", "--format", "csv", "-o", "@"], (".csv",)),
    "compare": (["compare", "a.zarr", "b.zarr", "-o", "@"], (".zarr", ".zarr.zip")),
    "extract": (["extract", "-p", "x", "-o", "@"], (".zarr", ".zarr.zip")),
    "extract --resume": (["extract", "-p", "x", "--resume", "-o", "@"], (".zarr", ".zarr.zip")),
    "extract redacted": (["extract", "-p", "x", "--redact-tokens", "-o", "@"], (".zarr",)),
    "report": (["report", "-p", "x", "-o", "@"], (".html",)),
    "report --save-trace": (
        ["report", "-p", "x", "-o", "-", "--save-trace", "@"], (".zarr", ".zarr.zip"),
    ),
    "profile": (["profile", "-o", "@"], (".html", ".zarr")),
    "lens fit": (["lens", "fit", "m", "--text", "t.txt", "-o", "@"], (".lens.safetensors",)),
    "bench": (["bench", "-o", "@"], (".json",)),
    "bench --html": (["bench", "--html", "@"], (".html",)),
}  # fmt: skip
_TRACES = ("a.zarr", "b.zarr", "c.zarr")
ODD_ENDINGS = (".zarr", ".html", ".ZARR", ".partial", ".Html", "", ".zarr.zip.partial", ".csv")
NAMES = (
    "x", "X", "x y", "é", "-x", ".x", "x\u202e", "\U0001f600", "x" * 230, "x" * 250, "x" * 300,
    "t.zarr/x", "no/x", "file/x", "d/x", "d/../x", "no/../x", "~/x", "link/x", "loop/x",
    "d/d/../../x", os.fsdecode(b"\xff\xfe"), "x\n", "*", "x'\"$(id)", "a", "",
)  # fmt: skip


def _text(path: Path) -> None:
    path.write_text("mine")
    path.chmod(0o600)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("mine")


def _store(path: Path) -> None:
    shutil.copytree("a.zarr", path)


def _store_and_more(path: Path) -> None:
    _store(path)
    (path / "notes.txt").write_text("mine")


def _damaged_store(path: Path) -> None:
    _store(path)
    (path / "zarr.json").write_bytes((path / "zarr.json").read_bytes()[:50])


def _run(path: Path) -> None:
    path.mkdir()
    (path / "run.json").write_text(
        '{"format": "attentropy.partial", "format_version": 1, "tokens": 9, "chunk": 3}'
    )
    _store(path / "trace.zarr")
    (path / "commits").mkdir()


def _run_and_more(path: Path) -> None:
    _run(path)
    (path / "notes.txt").write_text("mine")


def _link(goal: str) -> Any:
    return lambda path: path.symlink_to(goal)


def _nothing(path: Path) -> None:
    return None


THINGS = {
    "nothing": _nothing,
    "a file": _text,
    "a read-only file": lambda path: (_text(path), path.chmod(0o400)),
    "a folder": _folder,
    "an empty folder": Path.mkdir,
    "a store": _store,
    "a store and more": _store_and_more,
    "a damaged store": _damaged_store,
    "an unfinished run": _run,
    "an unfinished run and more": _run_and_more,
    "a fifo": os.mkfifo,
    "a link to a device": _link("/dev/null"),
    "a link to a file": lambda path: path.symlink_to(Path("mine.txt").absolute()),
    "a link to a folder": lambda path: path.symlink_to(Path("d").absolute()),
    "a link to a store": lambda path: path.symlink_to(Path("b.zarr").absolute()),
    "a link to an input": lambda path: path.symlink_to(Path("a.zarr").absolute()),
    "a dangling link": _link("gone"),
    "a loop": lambda path: path.symlink_to(path.name),
}


class Case:
    """One case: its number is the seed of all that is drawn."""

    def __init__(self, number: int) -> None:
        rng = random.Random(number)
        self.command = list(COMMANDS)[number % len(COMMANDS)]
        arguments, endings = COMMANDS[self.command]
        ending = rng.choice(endings) if rng.random() < 0.9 else rng.choice(ODD_ENDINGS)
        self.name = (rng.choice(NAMES) if rng.random() < 0.3 else "x") + ending
        self.thing = rng.choice(list(THINGS)) if rng.random() < 0.8 else "nothing"
        self.unfinished = rng.choice(list(THINGS)) if rng.random() < 0.3 else "nothing"
        self.force = rng.random() < 0.7
        self.arguments = [part.replace("@", self.name) for part in arguments]
        self.arguments += ["--force"] * self.force

    def __str__(self) -> str:
        return f"{self.command} -o {self.name[:30]!r} {'--force' * self.force}: {self.thing}"

    def prepare(self) -> None:
        """Put the things where the case has them, as far as the name allows."""
        os.mkdir("d")
        Path("file").write_text("mine")
        Path("mine.txt").write_text("mine")
        Path("t.txt").write_text("some text")
        Path("link").symlink_to("d")
        Path("loop").symlink_to("loop")
        for thing, suffix in ((self.thing, ""), (self.unfinished, ".partial")):
            with contextlib.suppress(OSError, ValueError, shutil.Error):
                if not os.path.lexists(self.name + suffix):
                    THINGS[thing](Path(self.name + suffix))

    def may_change(self) -> set[str]:
        """Return the names that the command may make or replace, if it succeeds."""
        output = os.path.realpath(self.name)
        names = {output} if self._is_free(output) else set()
        if self.command.startswith("extract") and self._is_free(f"{output}.partial"):
            names.add(f"{output}.partial")
        return {os.path.relpath(name) for name in names}

    def _is_free(self, path: str) -> bool:
        """Tell whether nothing is there, or, with `--force`, what the command may replace."""
        if not os.path.lexists(path):
            return True
        contents = snapshot(Path(path)) if os.path.isdir(path) else {}
        store = snapshot(Path("a.zarr"))
        if path.endswith(".partial"):
            names = {"run.json", "commits", "trace.zarr", *(f"trace.zarr/{name}" for name in store)}
            return (self.force or self.command.endswith("--resume")) and set(contents) == names
        is_input = os.path.relpath(path) in COMMANDS[self.command][0]
        if not self.force or is_input:
            return False
        if self.name.endswith(".zarr"):
            return contents in (store, snapshot(Path("b.zarr")))
        return os.path.isfile(path)


@contextlib.contextmanager
def _runs_are_ready():
    """Replace what takes a model by a trace that is ready, which is written in the usual way."""
    from attentropy.engine.bench.case import VocabularyCase
    from attentropy.engine.bench.results import Results, Row
    from attentropy.engine.run.resuming import open_partial

    trace = synthetic(layers=1, heads=1, window=False)
    case = VocabularyCase(8, 8, 16, "float32", "cpu")
    rows = (Row(0, "ours", "ours", case.flops, (1e-3, 2e-3, 3e-3), 3),)
    speeds = {"flops_per_second": 1e9, "bytes_per_second": 1e9}
    results = Results("vocabulary", "bench", "ours", {"device": "a"}, speeds, (case,), rows)

    def extract(options, output=None, force=False, resume=False, keep_cache=False, **rest):
        with open_partial(output, force=force, resume=resume, keep_cache=keep_cache) as partial:
            if partial is None:
                return trace
            if not resume:
                saved = partial.target.with_name(".saved.zarr")
                shutil.copytree(Path("c.zarr").absolute(), saved)
                partial.begin({"tokens": 9, "chunk": 3}, lambda folder: saved.rename(folder))
            partial.finish()
        return trace

    def fit(model, files, target, **options):
        raise RuntimeError("no model here")

    where = "attentropy.report.commands"
    with contextlib.ExitStack() as stack:
        for name, replacement in (
            (f"{where}.extract.extract_trace", extract), (f"{where}.report.extract_trace", extract),
            (f"{where}.bench._measure", lambda **options: results),
            ("attentropy.engine.profile.profile.profile", lambda **options: profiled()),
            (f"{where}.lens._fit_lens", fit),
            ("attentropy.report.drawing.render_page", lambda *a, **k: ("<!doctype html>", [])),
            ("attentropy.report.drawing.to_html", lambda *a, **k: "<!doctype html>"),
            ("attentropy.report.bench.results_page.render", lambda runs: "<!doctype html>"),
        ):  # fmt: skip
            stack.enter_context(mock.patch(name, replacement))
        yield


def outcome(number: int, inputs: Path) -> tuple[str, str]:
    """Return what became of a case: "written", "refused", or what is wrong; and the message."""
    case = Case(number)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in _TRACES:
            shutil.copytree(inputs / name, name)
        case.prepare()
        before, allowed = snapshot(Path()), case.may_change()
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _runs_are_ready():
            code = main(case.arguments)
        after, error = snapshot(Path()), err.getvalue()
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    written = {name for name in changed if any(f"{name}/".startswith(f"{a}/") for a in allowed)}
    lines = [line for line in error.splitlines() if not line.startswith("note: ")]
    if foreign := changed - (written if code == 0 else set()):
        return f"changed {sorted(foreign)[:3]}", error
    if code not in (0, 1, 2):
        return f"exit code {code}", error
    if code and len(lines) != 1:
        return f"{len(lines)} lines", error
    if code == 0 and not written and "nothing to resume" not in error:
        return "a success without an output", error
    if code == 0 and any(name.endswith(".partial") for name in allowed & {*after}):
        return "left its unfinished run", error
    if any(before[name][1] != after[name][1] for name in allowed & {*before} & {*after}):
        return "another mode", error
    return ("refused" if code else "written"), error


def save_inputs(folder: Path) -> None:
    """Write the two traces that the cases start from, and the one that a run gives."""
    for seed, name in enumerate(_TRACES):
        synthetic(layers=1, heads=1, window=False, seed=seed).save(folder / name)


def report(outcomes: dict[int, str], seconds: float) -> str:
    """Return the outcomes as a Markdown table."""
    rows: dict[str, Counter[str]] = {}
    for number, result in outcomes.items():
        case = Case(number)
        verdict = result if result in ("written", "refused") else "failed"
        for row in (case.command, f"there: {case.thing}", "all"):
            rows.setdefault(row, Counter())[verdict] += 1
    order = [*COMMANDS, *(f"there: {thing}" for thing in THINGS), "all"]
    lines = [
        f"| {row} | {rows[row]['written']:,} | {rows[row]['refused']:,} | {rows[row]['failed']:,} |"
        for row in order
        if row in rows
    ]
    return (
        f"# Outputs\n\n`python -m tests.report.fuzz_outputs --cases {len(outcomes)}` (a case's "
        "number is its seed).\n\n| command, or what is at its output | written | refused in one "
        "line | failed |\n| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\nFailed is "
        "any change by a command that was refused, any change besides the output by one that was "
        "not, something replaced without `--force` or that attentropy did not make, another mode, "
        "an exit code other than 0, 1 and 2, or more than one line. "
        f"All took {seconds / 60:.0f} min.\n"
    )


def main_of_fuzzer() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--only", type=int)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    started, outcomes = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        save_inputs(Path(folder))
        if arguments.only is not None:
            print(Case(arguments.only), *outcome(arguments.only, Path(folder)), sep="\n")
            return
        for number in range(arguments.cases):
            try:
                outcomes[number], message = outcome(number, Path(folder))
            except BaseException as error:
                outcomes[number], message = f"{type(error).__name__}: {error}"[:300], ""
                if isinstance(error, KeyboardInterrupt):
                    raise
            if outcomes[number] not in ("written", "refused"):
                print(number, Case(number), outcomes[number], message[:300], flush=True)
    text = report(outcomes, time.perf_counter() - started)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")
    sys.exit(any(result not in ("written", "refused") for result in outcomes.values()))


if __name__ == "__main__":
    main_of_fuzzer()
