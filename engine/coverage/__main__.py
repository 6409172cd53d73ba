"""`python -m attentropy.engine.coverage`: every causal class against its own eager attention."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings

import torch

from attentropy.engine.coverage import table
from attentropy.engine.coverage.classes import class_names
from attentropy.engine.coverage.compare import PASS, WRONG, Verdicts, compare
from attentropy.engine.coverage.isolate import run_isolated

_SECONDS = 120.0


def main(arguments: list[str] | None = None) -> int:
    """Print each class's verdicts; return 1 where one is wrong or did not end."""
    parser = argparse.ArgumentParser(
        prog="python -m attentropy.engine.coverage", description=__doc__
    )
    parser.add_argument("classes", nargs="*", help="class names; all by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--write", action="store_true", help="write COVERAGE.md and status.json")
    options = parser.parse_args(arguments)
    names = class_names()
    if unknown := sorted(set(options.classes) - set(names)):
        parser.error(f"no class {unknown[0]} in the installed transformers")
    if options.write and options.classes:
        parser.error("--write takes the whole table: name no classes")
    _quiet()
    compare("LlamaForCausalLM")  # imports what every child would otherwise import again
    rows: dict[str, Verdicts] = {}
    for name, result in run_isolated(
        compare, options.classes or names, jobs=options.jobs, seconds=_SECONDS
    ):
        if isinstance(result, str):
            result = dict.fromkeys(("attention", "lens"), (WRONG, result))
        rows[name] = result
        print(f"{name}: {_line(result)}", flush=True)
    for part in ("attention", "lens"):
        print(f"{part}: {dict(table.count_statuses(rows, part))}")
    if options.write:
        table.write_status(table.status_of(rows))
    return int(any(verdict[0] == WRONG for row in rows.values() for verdict in row.values()))


def _line(row: Verdicts) -> str:
    """Return a class's verdicts in one line, without the passes of optional parts."""
    texts = {part: ": ".join(filter(None, verdict)) for part, verdict in row.items()}
    always = ("attention", "lens")
    return "; ".join(f"{p} {text}" for p, text in texts.items() if p in always or text != PASS)


def _quiet() -> None:
    """Use one thread, and silence warnings: the children inherit both."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
