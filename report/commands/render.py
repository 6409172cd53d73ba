"""`attentropy render`: turns a trace into the page, without torch."""

from __future__ import annotations

from pathlib import Path

import click

from attentropy.report.commands import output
from attentropy.report.commands.page_options import page_options, render_page


@click.command("render")
@click.argument("trace", type=Path)
@click.option("-o", "--output", "target", type=Path, default=Path("report.html"), show_default=True)
@click.option("--partial", is_flag=True, help="TRACE is the .partial folder of an unfinished run.")
@page_options
@output.redact_option
@output.force_option
@output.json_option
def command(
    trace: Path,
    target: Path,
    partial: bool,
    max_bytes: int,
    sections: tuple[str, ...],
    redact_tokens: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Turn TRACE (`.zarr`, `.zarr.zip`, or with --partial `NAME.partial`) into one self-contained
    HTML file."""
    output.check_target(target, force=force)
    from dataclasses import asdict

    from attentropy.engine.trace.dataset import Trace
    from attentropy.engine.trace.redaction import redacted

    opened = Trace.open(trace, partial=partial)
    opened = redacted(opened) if redact_tokens else opened
    page, findings = render_page(opened, max_bytes, sections)
    output.write_text(target, page)
    facts = {"observations": [asdict(finding) for finding in findings]}
    output.print_result(target, facts, as_json=as_json)
