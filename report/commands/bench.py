"""`attentropy bench`: this machine against the other ways to get the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.commands import output
from attentropy.report.labels import plain

if TYPE_CHECKING:
    from attentropy.engine.bench.case import Case

_SUFFIX = {"k": 1024, "m": 1024**2}


def _lengths(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    try:
        found = [
            int(word[:-1]) * _SUFFIX[word[-1]] if word[-1] in _SUFFIX else int(word)
            for word in value.lower().replace(" ", "").split(",")
        ]
    except (ValueError, IndexError, KeyError) as error:
        raise click.BadParameter(f"{value!r}: give lengths such as 1k,4096") from error
    if min(found) < 1:
        raise click.BadParameter("a length is at least 1")
    return found


def _heads(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    parts = value.split("/")
    if len(parts) == 2 and all(part.isdigit() and int(part) for part in parts):
        heads, key_heads = int(parts[0]), int(parts[1])
        if heads % key_heads == 0:
            return heads, key_heads
    raise click.BadParameter(f"{value!r}: give QUERY/KEY heads such as 64/8, the first a multiple")


@click.command("bench")
@click.option(
    "-n",
    "--lengths",
    callback=_lengths,
    help="Tokens, such as 1k,128k.",
    default="1k,4k",
    show_default=True,
)
@click.option("--heads", callback=_heads, help="Query/key heads.", default="8/8", show_default=True)
@click.option("-d", "--head-size", type=int, default=64, show_default=True)
@click.option("--full", is_flag=True, help="Every query sees every key; causal otherwise.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]))
@click.option("--rival", "chosen", multiple=True, help="Only these; give it again for more.")
@click.option("-o", "--output", "target", type=Path, help="Write the results as JSON, too.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    lengths: list[int],
    heads: tuple[int, int],
    head_size: int,
    full: bool,
    dtype: str | None,
    chosen: tuple[str, ...],
    target: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Time attention with entropy beside fused attention without it and beside the other ways to
    get it, each in a process of its own, on random data; ours is not timed where it is wrong."""
    if target is not None:
        output.check_target(target, force=force)
    try:
        import torch
    except ImportError as error:
        raise AttentropyError("bench needs torch: pip install 'attentropy[extract]'") from error
    from attentropy.engine.bench import machine
    from attentropy.engine.bench.case import Case
    from attentropy.engine.bench.rivals import RIVALS

    if unknown := sorted(set(chosen) - set(RIVALS)):
        raise UsageError(f"no rival {unknown[0]!r}; there are: {'; '.join(RIVALS)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = dtype or ("bfloat16" if device == "cuda" else "float32")
    results: dict[str, Any] = {
        "machine": machine.describe(device),
        "ceilings": machine.ceilings(device, dtype),
        "cases": [],
    }
    for length in lengths:
        case = Case(length, *heads, head_size, not full, dtype, device)
        rows = [_measure(name, case) for name in chosen or RIVALS]
        results["cases"].append({"case": asdict(case), "flops": case.flops, "rows": rows})
        if not as_json:
            _print(case, rows, results["ceilings"])
    if target is not None:
        output.write_text(target, json.dumps(results, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(results))


def _measure(rival: str, case: Case) -> dict[str, Any]:
    given = json.dumps({"rival": rival} | asdict(case))
    done = subprocess.run(
        [sys.executable, "-m", "attentropy.engine.bench.measure", given],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"rival": rival, "reason": f"its process ended with code {done.returncode}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _print(case: Case, rows: list[dict[str, Any]], ceilings: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    from attentropy.engine.bench.rivals import OURS

    kind = "causal" if case.causal else "full"
    table = Table(
        title=f"{case.length:,} tokens, {case.heads}/{case.key_heads} heads of {case.head_size}, "
        f"{kind}, {case.dtype} on {case.device}"
    )
    ours = next((row["seconds"][1] for row in rows if row["rival"] == OURS and "seconds" in row), 0)
    names = (
        "", "ms (50 %)", "20 … 80 %", "time / ours", "TFLOP/s", "of product", "extra memory",
        "|ΔH| nats",
    )  # fmt: skip
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        if "seconds" not in row:
            continue
        low, middle, high = row["seconds"]
        rate = case.flops / middle
        error = f"{row['error']:.1e}{'' if row['right'] else ' (!)'}" if "error" in row else "none"
        table.add_row(
            row["rival"], f"{middle * 1e3:.2f}", f"{low * 1e3:.2f} … {high * 1e3:.2f}",
            f"{middle / ours:.2f}" if ours else "–", f"{rate / 1e12:.3g}",
            f"{rate / ceilings['flops_per_second']:.0%}", output.human(row["peak_bytes"]),
            error,
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    for row in rows:
        if "seconds" not in row:
            click.echo(f"{row['rival']}: not timed: {plain(row['reason'])}")
