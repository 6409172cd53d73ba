"""`attentropy bench`: measures this machine with entropy, and with other ways to get it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.errors import (
    AttentropyError,
    TraceError,
    UsageError,
    install_command,
)
from attentropy.engine.trace.checks.regular import read_named
from attentropy.report.commands import keeping, output
from attentropy.report.commands.bench_grid import grid_for, list_of, parse_heads, parse_mask
from attentropy.report.commands.endings import PAGE_ENDINGS, RESULT_ENDINGS
from attentropy.report.commands.examples import examples
from attentropy.report.commands.libraries import import_libraries
from attentropy.report.commands.progress import show_status
from attentropy.report.commands.quantities import count

if TYPE_CHECKING:
    from attentropy.engine.bench.results import Results

_HELP = """\
Benchmark attention with entropy, or the vocabulary statistics of the logit lens, against
alternatives and against an upper bound. Each implementation runs on random data in its own
process. Attentropy's own are first checked against float64, and are not timed if they are
wrong. By default the benchmark runs over a grid of sizes that suits the device."""
_EXAMPLES = examples(
    "attentropy bench -n 1k,4k --rival 'ours*' -o ours.json",
    "attentropy bench --what vocabulary --html vocabulary.html",
    "attentropy bench --read bench.json",
)


@click.command("bench", help=_HELP, epilog=_EXAMPLES)
@click.option(
    "--what", type=click.Choice(["attention", "vocabulary"]), default="attention",
    show_default=True, help="Operation to benchmark.",
)  # fmt: skip
@click.option(
    "-n", "--sizes", callback=list_of(count), metavar="N,…",
    help="Sequence lengths, or numbers of rows for the vocabulary, such as 1k,128k.  "
    "[default: depends on the device]",
)  # fmt: skip
@click.option(
    "--heads",
    callback=list_of(parse_heads),
    metavar="Q/K,…",
    help="Numbers of query/key heads, such as 64/8.  [default: depends on the device]",
)
@click.option(
    "-d",
    "--head-size",
    callback=list_of(count),
    metavar="D,…",
    help="Head sizes, such as 64,128.  [default: depends on the device]",
)
@click.option(
    "--mask",
    callback=list_of(parse_mask),
    metavar="KIND,…",
    help="Attention masks: causal, full, or both as causal,full.  [default: depends on the device]",
)
@click.option(
    "--width",
    type=click.IntRange(1),
    metavar="N",
    help="Hidden size, for --what vocabulary.  [default: depends on the device]",
)
@click.option(
    "--tokens",
    type=click.IntRange(1),
    metavar="N",
    help="Vocabulary size, for --what vocabulary.  [default: depends on the device]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Dtype of the inputs.  [default: depends on the device]",
)
@click.option(
    "--rival", "patterns", multiple=True, metavar="NAME",
    help="Implementation to run, by name or pattern such as 'ours*'. Repeatable.  [default: all]",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0), metavar="SECONDS", default=2, show_default=True,
    help="Timing budget per implementation and case.",
)  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(1), metavar="N", default=1, show_default=True,
    help="Number of rounds over all implementations; the times of all rounds are pooled.",
)  # fmt: skip
@click.option(
    "--limit", type=click.FloatRange(0), metavar="MINUTES", default=60, show_default=True,
    help="Start no new case after this many minutes.",
)  # fmt: skip
@click.option(
    "--read", "result_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Show the results of an earlier run instead of measuring. Repeatable.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", type=Path,
    help="Output file for the results, NAME.json.  [default: bench.json, unless --json, --html or "
    "--read is given]",
)  # fmt: skip
@click.option(
    "--html",
    "page",
    type=Path,
    metavar="FILE",
    help="HTML page to write, with the results as charts and tables.",
)
@output.force_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    result_files: tuple[Path, ...],
    target: Path | None,
    page: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure or read results, then write and print them."""
    if result_files and target is not None:
        raise UsageError("--read only shows results; leave -o out")
    if target is None and not (result_files or as_json or page):
        target = Path("bench.json")
    _check_targets(target, page, force=force, inputs=result_files, as_json=as_json)
    runs = [_read(path) for path in result_files] if result_files else [_measure(**options)]
    _write(runs, target, page, as_json=as_json, is_new=not result_files)
    if any(path is not None and output.is_standard_output(path) for path in (target, page)):
        return
    if as_json:
        return
    from attentropy.report.bench.terminal import show

    for results in runs:
        show(results)
    if target is not None:
        again = f"attentropy bench --read {shlex.quote(str(target))}"
        output.print_result(target, {}, as_json=False, then=f"To show it again: {again}")
    if page is not None:
        output.print_result(page, {}, as_json=False, then=output.next_step(page))


def _check_targets(
    target: Path | None,
    page: Path | None,
    *,
    force: bool,
    inputs: Sequence[Path],
    as_json: bool,
) -> None:
    """Raise `UsageError` where the results or their page cannot be written."""
    for path, endings in ((target, RESULT_ENDINGS), (page, PAGE_ENDINGS)):
        if path is not None:
            output.reserve(
                path, force=force, inputs=inputs, endings=endings, as_json=as_json,
                elsewhere={"a page": f"--html {shlex.quote(path.name)}"},
            )  # fmt: skip
    if target is not None and target == page:
        raise UsageError("-o and --html both write to standard output; name a file in one of them")


def _write(
    runs: Sequence[Results], target: Path | None, page: Path | None, *, as_json: bool, is_new: bool
) -> None:
    """Write the results and their page, and print JSON; new results are kept if that fails."""
    with keeping.results_on_failure(runs[0], target, page) if is_new else nullcontext():
        if target is not None:
            output.write_text(target, runs[0].to_json())
    saved = target if target is not None and not output.is_standard_output(target) else None
    with keeping.results_on_failure(runs[0], target, page, saved) if is_new else nullcontext():
        if page is not None:
            from attentropy.report.bench.results_page import render

            output.write_text(page, render(runs))
        if as_json:
            facts = [json.loads(results.to_json()) for results in runs]
            click.echo(json.dumps(facts if len(facts) > 1 else facts[0]))


def _read(path: Path) -> Results:
    from attentropy.engine.bench.results import MAX_BYTES, Results

    try:
        text = read_named(path, MAX_BYTES).decode("utf-8")
        return Results.from_json(text, path.name)
    except (OSError, TraceError, UnicodeDecodeError) as error:
        why = f" ({error})" if isinstance(error, TraceError) else ""
        raise UsageError(f"{path.name!r} cannot be read as text{why}") from error


def _measure(
    *,
    what: str,
    patterns: tuple[str, ...],
    seconds: float,
    rounds: int,
    limit: float,
    **values: Any,
) -> Results:
    """Measure the rivals that match `patterns` on the grid of `values`, and return the results."""
    import_libraries("bench", "torch", extra="gpu")
    import torch

    from attentropy.engine.bench.measure import OURS, RIVALS
    from attentropy.engine.bench.results import Results
    from attentropy.engine.bench.run import run
    from attentropy.engine.measure import machine
    from attentropy.kernels.choice import has_triton

    names = _matching(list(RIVALS[what]), patterns)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not has_triton():
        raise AttentropyError(f"bench on a GPU needs triton; run: {install_command('gpu')}")
    grid = grid_for(what, device, values)
    cases = grid.cases(what, device)
    ceilings = machine.upper_bounds(device, grid.dtype)
    facts = machine.describe_machine(device)
    with show_status() as show:
        rows = run(
            names, cases, seconds=seconds, rounds=rounds, limit=60 * limit,
            tell=lambda rival, case: show(f"{rival}: {case.size:,} {case.unit}, {case.setting}"),
        )  # fmt: skip
    words = ["attentropy", "bench", "--what", what, *grid.words(what)]
    words += ["--seconds", f"{seconds:g}", "--rounds", str(rounds)]
    for pattern in patterns:
        words += ["--rival", pattern]
    # The command measures the same again: its defaults are written out.
    return Results(what, shlex.join(words), OURS[what], facts, ceilings, tuple(cases), rows)


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match one of the patterns, or all names without a pattern.

    Raises:
        UsageError: a pattern that no name matches.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(f"--rival: no method {pattern!r}; the methods are: {'; '.join(names)}")
    return [
        name
        for name in names
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
