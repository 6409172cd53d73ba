"""`attentropy info TRACE --verify`: whether each value is one that its definition allows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.text import count
from attentropy.report.commands.output import json_line
from attentropy.report.text import for_terminal


def print_verification(path: Path, max_cells: int | None, *, as_json: bool) -> None:
    """Check all values of a trace or a comparison, and print a line for each that is at fault.

    Raises `TraceError` where one is, and for what cannot be opened.
    """
    from attentropy.engine.trace.checks.ranges import unchecked_reads
    from attentropy.report.compare import stored

    with unchecked_reads():  # so that all faults are named, not the first one alone
        opened = stored.open(path, partial=path.name.endswith(".partial"), max_cells=max_cells)
        result = opened.verify()
    checked = f"{count(result.values, 'value')} checked"
    if as_json:
        click.echo(json_line(_facts(path.name, result)))
    elif result:
        click.echo(f"{for_terminal(path.name)}: {checked}, no fault")
    else:
        for line in result.lines:
            click.echo(for_terminal(line))
    if not result:
        faults = len(result.faults) + len(result.damaged) + sum(result.more.values())
        raise TraceError(f"{path.name}: {count(faults, 'fault')}, {checked}")


def _facts(name: str, result: Any) -> dict[str, Any]:
    return {
        "trace": name,
        "values": result.values,
        "faults": [
            {
                "variable": fault.variable,
                "index": {d: i for d, i in zip(fault.dims, fault.index, strict=True) if i >= 0},
                "value": _finite(fault.value),
                "bound": _finite(fault.bound),
                "words": str(fault),
            }
            for fault in result.faults
        ],
        "more": dict(result.more),
        "damaged": list(result.damaged),
    }


def _finite(value: float) -> float | str:
    """Return a value as JSON has it, which has no infinity."""
    return value if math.isfinite(value) else str(value)
