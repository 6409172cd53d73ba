"""Traces with values that cannot be, by the thousand: each is refused or found, none is printed.

    python -m tests.report.fuzz_values --cases 2000 -o tests/report/fuzz_values.md

Every case is a trace with every variable that there is, of which one is changed: to values outside
of its definition, or to values just inside. The digests are written again, so that nothing but the
values is wrong. `impossible_cases` makes the cases and judges them. Each failure is printed with
its number, and `--only NUMBER` runs the case again with its traceback. An interrupted run reports
what it has.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from impossible_cases import KINDS, make, outcome, save_template

RESULTS = ("refused", "found", "opened", "page", "failed")


_is_interrupted: list[int] = []


def run(numbers: range) -> dict[int, tuple[str, str, str]]:
    """Run the cases; return kind, variable and outcome of each."""
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        template = save_template(Path(folder))
        for number in numbers:
            if _is_interrupted:
                break
            with tempfile.TemporaryDirectory() as own:
                case = make(number, template, Path(own))
                try:
                    result = outcome(case)
                except Exception as error:
                    print(f"{number}: {case.kind}, {case.variable}: {error}", flush=True)
                    result = "failed"
            outcomes[number] = (case.kind, case.variable, result)
    return outcomes


def report(outcomes: dict[int, tuple[str, str, str]]) -> str:
    """Return the outcomes as a Markdown table with a description."""
    counts = Counter((kind, result) for kind, _, result in outcomes.values())
    variables = len({name for _, name, _ in outcomes.values()})

    def row(name: str, numbers: list[int]) -> str:
        return f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |"

    rows = [row(kind, [counts[kind, result] for result in RESULTS]) for kind in KINDS]
    rows.append(row("all", [sum(counts[kind, result] for kind in KINDS) for result in RESULTS]))
    versions = ", ".join(f"{name} {version(name)}" for name in ("zarr", "numpy"))
    return (
        "# Values that cannot be\n\n"
        f"`python -m tests.report.fuzz_values --first {min(outcomes, default=0)} "
        f"--cases {len(outcomes)}` (a case's number is its seed), over {variables} variables.\n\n"
        "| the values of one variable | refused | found by `--verify` | opened | page | failed |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        "Refused: when the trace is opened or drawn, in one line that names the variable; "
        "`--verify` names it, too. Failed is a traceback, an impossible value that neither names, "
        "a possible one that is refused, or a page with a number outside of its definition (a "
        "share above 100 %, 8 of 0, NaN). The last three rows are values that can be. "
        f"Python {platform.python_version()}, {versions}, {platform.system()} "
        f"{platform.machine()}.\n"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case, with its traceback")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "case").mkdir()
            case = make(arguments.only, save_template(Path(folder)), Path(folder) / "case")
            print(case)
            print(outcome(case))
        return
    signal.signal(signal.SIGINT, lambda number, frame: _is_interrupted.append(number))
    outcomes = run(range(arguments.first, arguments.first + arguments.cases))
    text = report(outcomes)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    sys.exit(any(result == "failed" for _, _, result in outcomes.values()))


if __name__ == "__main__":
    main()
