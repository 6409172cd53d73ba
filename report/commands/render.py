"""`attentropy render`: turns a trace or a saved comparison into the page, without torch."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from attentropy.report.commands import output
from attentropy.report.commands.endings import PAGE_ENDINGS, stem
from attentropy.report.commands.examples import examples
from attentropy.report.commands.page_options import (
    max_cells_option,
    open_references,
    page_options,
    reference_option,
)
from attentropy.report.commands.segments import name_segments

_HELP = """\
Render TRACE (`.zarr`, `.zarr.zip`, or `NAME.partial` with --partial), or a saved comparison,
as one self-contained HTML file."""
_EXAMPLES = examples(
    "attentropy render trace.zarr.zip",
    "attentropy render trace.zarr.zip --section -512: -o end.html",
)


@click.command("render", help=_HELP, epilog=_EXAMPLES)
@click.argument("path", metavar="TRACE", type=Path)
@click.option(
    "-o", "--output", "target", type=Path,
    help="Output file; - writes to standard output.  [default: NAME.html for NAME.zarr]",
)  # fmt: skip
@click.option(
    "--segments", metavar="FILE",
    help='JSON file that names parts of the prompt, each a row of the report: {"name": '
    '[start, stop]} in characters, or {"name": "its words"}.',
)  # fmt: skip
@click.option("--partial", is_flag=True, help="Render the .partial folder of an unfinished run.")
@page_options
@reference_option
@max_cells_option
@output.redact_option
@output.force_option
@output.json_option
def command(
    path: Path,
    target: Path | None,
    segments: str | None,
    partial: bool,
    max_bytes: int,
    sections: tuple[str, ...],
    ranges: tuple[str, ...],
    reference: tuple[str, ...],
    max_cells: int | None,
    redact_tokens: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the page of a trace or a comparison."""
    target = Path(f"{stem(path)}.html") if target is None else target
    output.reserve(
        target, force=force, inputs=[path], endings=PAGE_ENDINGS, as_json=as_json,
        elsewhere={
            "a figure": f"attentropy export {shlex.quote(str(path))} -o {shlex.quote(str(target))}"
        },
    )  # fmt: skip

    from attentropy.report.compare import stored
    from attentropy.report.drawing import render_page

    trace = stored.open(path, partial=partial, max_cells=max_cells)
    trace = trace if segments is None else name_segments(trace, segments)
    trace = stored.without_texts(trace) if redact_tokens else trace
    page, findings = render_page(
        trace, max_bytes=max_bytes, sections=sections, range=ranges,
        reference=open_references(reference, max_cells),
    )  # fmt: skip
    output.write_text(target, page)
    facts = output.finding_facts(trace, findings)
    output.print_result(target, facts, as_json=as_json, then=output.next_step(target))
