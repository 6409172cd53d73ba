"""`attentropy profile`: measures each layer's time and memory, and the cost of recording."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.report.commands import keeping, output
from attentropy.report.commands.arguments import run_arguments
from attentropy.report.commands.endings import PAGE_ENDINGS, TRACE_ENDINGS, refuse_store
from attentropy.report.commands.examples import examples
from attentropy.report.commands.extraction import inputs_of, print_notes
from attentropy.report.commands.libraries import import_libraries
from attentropy.report.commands.options import run_option, subject_options
from attentropy.report.commands.progress import show_progress
from attentropy.report.commands.quantities import TokenCount

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace

_HELP = """\
Profile time and memory of MODEL per layer while it processes a prompt in chunks and records
it as extract does. The same passes without recording, and with PyTorch's fused attention,
give the cost of recording."""
_EXAMPLES = examples(
    "attentropy profile --tokens 2k",
    "attentropy profile ./my-model --tokens 128k --chunk 8k -o profile.html",
    "attentropy profile ./my-config --random-weights --tokens 32k --json",
)


@click.command("profile", help=_HELP, epilog=_EXAMPLES)
@subject_options
@click.option(
    "--tokens",
    type=TokenCount(),
    metavar="N",
    help="Length of a random prompt, such as 128k, instead of a prompt of your own.",
)
@run_option("--chunk")
@click.option(
    "--random-weights", is_flag=True,
    help="Use random weights; MODEL then only needs a config.json.",
)  # fmt: skip
@click.option(
    "--stats", metavar="NAMES", default="entropy", show_default=True,
    help="Attention statistics to record, such as entropy,max_prob,distance.",
)  # fmt: skip
@run_option("--lens", default="none")
@click.option(
    "--repeat", type=click.IntRange(1), metavar="R", default=3, show_default=True,
    help="Number of times that each variant runs.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", type=Path,
    help="Output file: NAME.html for a report, NAME.zarr or NAME.zarr.zip for the trace.  "
    "[default: profile.html; none with --json]",
)  # fmt: skip
@output.force_option
@output.json_option
def command(target: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Measure the model and print or write the profile."""
    refuse_store(options["model"], advice="to draw it: attentropy render {}")
    if target is None and not as_json:
        target = Path("profile.html")
    if target is not None:
        output.reserve(
            target, force=force, inputs=inputs_of(options), endings=PAGE_ENDINGS + TRACE_ENDINGS,
            as_json=as_json,
        )  # fmt: skip
    arguments = run_arguments(options)
    import_libraries("profile", "torch", "transformers")
    from attentropy.engine.profile.profile import profile

    with tempfile.TemporaryDirectory(prefix="attentropy-") as folder:
        with show_progress() as progress:
            trace = profile(**arguments, progress=progress, scratch=folder)
        print_notes(trace)
        with keeping.trace_on_failure(trace, target or Path("profile")):
            if target is not None:
                _write(trace, target, force=force)
            elif as_json:
                click.echo(output.json_line(trace.attrs["profile"]))
        if as_json:
            if target is not None:
                click.echo(output.json_line({"path": str(target)} | trace.attrs["profile"]))
            return
        assert target is not None  # profile.html where nothing is named
        if output.is_standard_output(target):
            return
        from attentropy.report.page.profile import print_profile

        print_profile(trace)
        output.print_result(target, {}, as_json=False, then=output.next_step(target))


def _write(trace: Trace, target: Path, *, force: bool) -> None:
    if target.name.endswith(TRACE_ENDINGS):
        trace.save(target, force=force)
        return
    from attentropy.report.drawing import to_html

    output.write_text(target, to_html(trace))
