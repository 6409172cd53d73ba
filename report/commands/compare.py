"""`attentropy compare`: two traces in, the page of their difference out, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attentropy.report.commands import output
from attentropy.report.commands.page_options import page_options
from attentropy.report.text import plain


@click.command("compare")
@click.argument("a", type=Path)
@click.argument("b", type=Path)
@click.option("-o", "--output", "target", type=Path, default=Path("report.html"), show_default=True)
@page_options
@output.redact_option
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    a: Path,
    b: Path,
    target: Path,
    max_bytes: int,
    sections: tuple[str, ...],
    redact_tokens: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Show B − A of two traces (`.zarr` or `.zarr.zip`), aligned by token: two prompts of one
    model, or two models, revisions or precisions on one prompt."""
    output.check_target(target, force=force)
    from dataclasses import asdict

    from attentropy.engine.trace.dataset import Trace
    from attentropy.report import planes
    from attentropy.report.compare.difference import compare
    from attentropy.report.findings.compared import observe
    from attentropy.report.page.page import render
    from attentropy.report.read.positions import sections as read_sections

    difference = compare(Trace.open(a), Trace.open(b), (a.name, b.name), redact=redact_tokens)
    asked = read_sections(sections, difference.kind.size)
    attention = planes.attention(difference)
    found = observe(difference)
    page = render(difference, found, attention=attention, max_bytes=max_bytes, sections=asked)
    output.write_text(target, page)
    facts: dict[str, Any] = {
        "columns": int(difference.kind.size),
        "in_both": int(difference.both.sum()),
        "aligned_by": "token texts" if difference.by_text else "token ids",
        "observations": [asdict(observation) for observation in found],
    }
    output.tell(target, facts, as_json=as_json)
    if not as_json:
        for observation in found:
            click.echo(f"- {plain(observation.text)}")
