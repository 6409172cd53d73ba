"""`attentropy report`: runs a model over a prompt and writes the page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from attentropy.report.commands import keeping, output
from attentropy.report.commands.endings import PAGE_ENDINGS, TRACE_ENDINGS, refuse_store
from attentropy.report.commands.examples import examples
from attentropy.report.commands.extraction import extract_trace, inputs_of
from attentropy.report.commands.options import run_options
from attentropy.report.commands.page_options import (
    max_cells_option,
    open_references,
    page_options,
    reference_option,
)
from attentropy.report.commands.source_facts import source_facts
from attentropy.report.text import for_terminal

_HELP = """\
Run MODEL (a hub id or a folder; by default the embedded model) on a prompt and write the
report, one self-contained HTML file."""
_EXAMPLES = examples(
    "attentropy report",
    'attentropy report Qwen/Qwen3-0.6B -p "Why is the sky blue?"',
    "attentropy report ./my-model -m chat.json -o chat.html",
)


@click.command("report", help=_HELP, epilog=_EXAMPLES)
@run_options
@page_options
@reference_option
@max_cells_option
@click.option(
    "-o", "--output", "target", type=Path, default=Path("report.html"), show_default=True,
    help="Output file; - writes to standard output.",
)  # fmt: skip
@click.option(
    "--save-trace",
    type=Path,
    metavar="PATH",
    help="Also save the trace, as NAME.zarr.zip or NAME.zarr.",
)
@output.redact_option
@output.force_option
@output.json_option
def command(
    target: Path,
    save_trace: Path | None,
    redact_tokens: bool,
    force: bool,
    as_json: bool,
    max_bytes: int,
    sections: tuple[str, ...],
    ranges: tuple[str, ...],
    reference: tuple[str, ...],
    max_cells: int | None,
    **options: Any,
) -> None:
    """Run the model and write the page."""
    from attentropy.report.drawing import render_page

    refuse_store(options["model"], advice="to draw it: attentropy render {}")
    inputs = inputs_of(options)
    output.reserve(
        target, force=force, inputs=inputs, endings=PAGE_ENDINGS, as_json=as_json,
        elsewhere={
            "a trace": f"attentropy extract -o {shlex.quote(str(target))} (or --save-trace here)",
            "a figure": f"attentropy export TRACE -o {shlex.quote(str(target))} "
            "(report --save-trace TRACE keeps the trace)",
        },
    )  # fmt: skip
    if save_trace is not None:
        output.reserve(save_trace, force=force, inputs=inputs, endings=TRACE_ENDINGS)
    references = open_references(reference, max_cells)
    with output.scratch_folder(target) as folder:
        if save_trace is None or redact_tokens:
            trace = extract_trace(options, scratch=folder)
        else:
            trace = extract_trace(options, output=save_trace, force=force)
        if redact_tokens:
            from attentropy.engine.trace.redaction import redact

            trace = redact(trace)
            if save_trace is not None:
                with keeping.trace_on_failure(trace, target):
                    trace.save(save_trace, force=force)
        scratch = None if redact_tokens else folder
        with keeping.trace_on_failure(trace, target, save_trace, scratch=scratch):
            page, findings = render_page(
                trace, max_bytes=max_bytes, sections=sections, range=ranges, reference=references
            )
            output.write_text(target, page)
        facts = {
            "tokens": trace.prompt_tokens,
            **output.answer_facts(trace),
            **output.finding_facts(trace, findings),
            **(source_facts(trace) if as_json else {}),
        }
    if not as_json:
        output.say_answer(trace, target)
        output.print_findings(findings, target)
        if save_trace is not None:
            output.say(f"Wrote {for_terminal(str(save_trace))}.", target)
    output.print_result(target, facts, as_json=as_json, then=output.next_step(target))
