"""Benchmark results as tables on a terminal or in a pipe."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attentropy.engine.bench.results import Results
from attentropy.report.bench import summary
from attentropy.report.text import for_terminal
from attentropy.report.units import glue

_PIPE_WIDTH = 150  # characters, since a pipe has no width


def show(results: Results) -> None:
    """Print a table per case, the findings of each setting, and why rivals are missing."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    for setting, cases in results.settings().items():
        for case in cases:
            rows = [row for row in results.of(case) if row.seconds]
            if not rows:
                continue
            shape = results.cases[case]
            table = Table(title=Text(for_terminal(f"{shape.size:,} {shape.unit}, {setting}")))
            for i, name in enumerate(summary.columns(results)):
                table.add_column(name, justify="right" if i else "left")
            ours = summary.reference(rows, results.ours)
            for row in rows:
                cells = summary.cells(results, row, ours)
                table.add_row(*(Text(glue(for_terminal(cell))) for cell in cells))
            console.print(table)
        for sentence in summary.findings(results, cases):
            click.echo(for_terminal(sentence))
    for reason, rivals in summary.untimed(results.rows).items():
        click.echo(for_terminal(f"not timed ({reason}): {'; '.join(rivals)}"))
