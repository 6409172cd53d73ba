"""`attentropy compare`: writes the page of the difference of two traces, without torch."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from attentropy.report.commands import keeping, output
from attentropy.report.commands.endings import PAGE_ENDINGS, TRACE_ENDINGS
from attentropy.report.commands.examples import examples
from attentropy.report.commands.page_options import max_cells_option, page_options

_HELP = """\
Compare two traces (`.zarr` or `.zarr.zip`), aligned by token, and show the difference, B minus
A: two prompts of one model, or two models, revisions or precisions on one prompt. To save the
comparison itself, for render and export, name the output `.zarr` or `.zarr.zip`."""
_EXAMPLES = examples(
    "attentropy compare base.zarr.zip tuned.zarr.zip",
    "attentropy compare base.zarr.zip tuned.zarr.zip -o difference.zarr.zip",
)


@click.command("compare", help=_HELP, epilog=_EXAMPLES)
@click.argument("a", type=Path)
@click.argument("b", type=Path)
@click.option(
    "-o", "--output", "target", type=Path, default=Path("compare.html"), show_default=True,
    help="Output file: NAME.html for a page, NAME.zarr or NAME.zarr.zip for the comparison; - "
    "writes the page to standard output.",
)  # fmt: skip
@page_options
@max_cells_option
@output.redact_option
@output.force_option
@output.json_option
def command(
    a: Path,
    b: Path,
    target: Path,
    max_bytes: int,
    sections: tuple[str, ...],
    ranges: tuple[str, ...],
    max_cells: int | None,
    redact_tokens: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compare two traces and write the page."""
    output.reserve(
        target, force=force, inputs=[a, b], endings=PAGE_ENDINGS + TRACE_ENDINGS, as_json=as_json,
        elsewhere={
            "a figure": f"attentropy export NAME.zarr.zip -o {shlex.quote(str(target))} "
            "(compare -o NAME.zarr.zip keeps the comparison)",
        },
    )  # fmt: skip

    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.compare.difference import compare
    from attentropy.report.drawing import render_page
    from attentropy.report.findings.compared import observe

    first, second = (Trace.open(path, max_cells=max_cells) for path in (a, b))
    difference = compare(first, second, (a.name, b.name), redact=redact_tokens)
    if target.name.endswith(TRACE_ENDINGS):
        findings = observe(difference)
        difference.save(target, force=force)
    else:
        page, findings = render_page(
            difference, max_bytes=max_bytes, sections=sections, range=ranges
        )
        with keeping.trace_on_failure(difference, target, what="the comparison"):
            output.write_text(target, page)
    facts: output.Facts = {
        "columns": int(difference.kind.size),
        "in_both": int(difference.both.sum()),
        "aligned_by": "token texts" if difference.by_text else "token ids",
        "observations": [finding.to_json() for finding in findings],
    }
    if not as_json:
        output.print_findings(findings, target)
    output.print_result(target, facts, as_json=as_json, then=output.next_step(target))
