"""`attentropy render`: a trace in, the page out, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attentropy.report.commands import output
from attentropy.report.commands.page_options import observed, page_options


@click.command("render")
@click.argument("trace", type=Path)
@click.option("-o", "--output", "target", type=Path, default=Path("report.html"), show_default=True)
@click.option("--partial", is_flag=True, help="TRACE is the .partial folder of an unfinished run.")
@page_options
@output.redact_option
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    trace: Path,
    target: Path,
    partial: bool,
    redact_tokens: bool,
    force: bool,
    as_json: bool,
    **page: Any,
) -> None:
    """Turn TRACE (`.zarr`, `.zarr.zip`, or with --partial `NAME.partial`) into one self-contained
    HTML file."""
    output.check_target(target, force=force)
    from dataclasses import asdict

    from attentropy.engine.trace.dataset import Trace
    from attentropy.engine.trace.redaction import redacted

    opened = Trace.open(trace, partial=partial)
    opened = redacted(opened) if redact_tokens else opened
    text, found = observed(opened, **page)
    output.write_text(target, text)
    facts = {"observations": [asdict(observation) for observation in found]}
    output.tell(target, facts, as_json=as_json)
