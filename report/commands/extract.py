"""`attentropy extract`: runs a model over a prompt and writes the trace."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import UsageError
from attentropy.engine.output.ownership import RUN_SUFFIX
from attentropy.report.commands import keeping, output
from attentropy.report.commands.endings import TRACE_ENDINGS, refuse_store
from attentropy.report.commands.examples import examples
from attentropy.report.commands.extraction import extract_trace, inputs_of
from attentropy.report.commands.options import run_options
from attentropy.report.commands.source_facts import source_facts
from attentropy.report.text import for_terminal

_HELP = """\
Run MODEL (a hub id or a folder; by default the embedded model) on a prompt and write the
trace: a `.zarr` folder or a `.zarr.zip` file. During the run, the folder OUTPUT.partial
contains what has been recorded so far; after an interruption, --resume continues from it."""
_EXAMPLES = examples(
    "attentropy extract ./my-model -f book.txt -o book.zarr.zip",
    "attentropy extract ./my-model -f book.txt -o book.zarr.zip --resume",
)


@click.command("extract", help=_HELP, epilog=_EXAMPLES)
@run_options
@click.option(
    "-o", "--output", "target", type=Path, default=Path("trace.zarr.zip"), show_default=True,
    help="Output file NAME.zarr.zip, or folder NAME.zarr.",
)  # fmt: skip
@output.force_option
@click.option("--resume", is_flag=True, help="Resume an interrupted run.")
@click.option(
    "--keep-cache", is_flag=True, help="Keep the KV cache on disk so that --resume is faster."
)
@output.redact_option
@output.json_option
def command(
    target: Path,
    force: bool,
    resume: bool,
    keep_cache: bool,
    redact_tokens: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the model and write the trace."""
    is_finished = resume and _is_finished(target)
    output.reserve(
        target, force=force or is_finished, inputs=inputs_of(options), endings=TRACE_ENDINGS,
        elsewhere={
            "a page": f"attentropy report -o {shlex.quote(str(target))}",
            "a figure": f"attentropy export TRACE -o {shlex.quote(str(target))}",
        },
        suffix=RUN_SUFFIX,
    )  # fmt: skip
    refuse_store(options["model"], advice="to draw it: attentropy render {}")
    if redact_tokens and (resume or keep_cache):
        raise UsageError(
            "--redact-tokens leaves nothing to resume; leave out --resume and --keep-cache"
        )
    if is_finished:
        from attentropy.engine.trace.dataset import Trace

        trace = Trace.open(target)
        name = for_terminal(str(target))
        click.echo(f"note: {name} is finished; there is nothing to resume", err=True)
    elif redact_tokens:
        from attentropy.engine.trace.redaction import redact

        with output.scratch_folder(target) as folder:
            trace = redact(extract_trace(options, scratch=folder))
            with keeping.trace_on_failure(trace, target):
                trace.save(target, force=force)
    else:
        trace = extract_trace(
            options, output=target, force=force, resume=resume, keep_cache=keep_cache
        )
    facts = {
        "tokens": trace.prompt_tokens,
        **output.answer_facts(trace),
        "variables": sorted(str(name) for name in trace.dataset.data_vars),
        **(source_facts(trace) if as_json else {}),
    }
    if not as_json:
        output.say_answer(trace, target)
    output.print_result(target, facts, as_json=as_json, then=output.next_step(target))


def _is_finished(target: Path) -> bool:
    """Complete what a killed run planned; return whether the trace is there and its run is not."""
    from attentropy.engine.output.place import complete
    from attentropy.engine.trace.partial import PartialTrace

    if not target.name:  # such as "/", which is no output
        return False
    complete(target)
    return os.path.exists(target) and not PartialTrace(target).exists()
