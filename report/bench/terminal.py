"""Benchmark results as tables on a terminal or in a pipe."""

from __future__ import annotations

import click

from attentropy.engine.bench.results import Results
from attentropy.report.bench import summary
from attentropy.report.terminal import print_table
from attentropy.report.text import for_terminal


def show(results: Results) -> None:
    """Print a table per case, the findings of each setting, and why rivals are missing."""
    for setting, cases in results.settings().items():
        for case in cases:
            rows = [row for row in results.of(case) if row.seconds]
            if not rows:
                continue
            shape = results.cases[case]
            ours = summary.reference(rows, results.ours)
            print_table(
                f"{shape.size:,} {shape.unit}, {setting}",
                summary.columns(results),
                [summary.cells(results, row, ours) for row in rows],
            )
        for sentence in summary.findings(results, cases):
            click.echo(for_terminal(sentence))
    for reason, rivals in summary.untimed(results.rows).items():
        click.echo(for_terminal(f"not timed ({reason}): {'; '.join(rivals)}"))
