"""`attentropy profile`: each layer's time and memory, and what the recording itself costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.commands import output
from attentropy.report.commands.options import given_sites, progress, subject_options
from attentropy.report.commands.prompt import given_prompt
from attentropy.report.commands.tokens import Size
from attentropy.report.text import plain

_TRACES = (".zarr", ".zarr.zip")


@click.command("profile")
@subject_options
@click.option("--tokens", type=Size(), metavar="N", help="Random ids instead of a prompt: 128k.")
@click.option(
    "--chunk", type=Size(), metavar="TOKENS",
    help="Of each pass through the cache; by default what the free memory allows.",
)  # fmt: skip
@click.option(
    "--random-weights", is_flag=True,
    help="Weights made here; a folder with a config.json is then enough.",
)  # fmt: skip
@click.option(
    "--stats", metavar="NAMES", default="entropy", show_default=True,
    help="What is recorded, such as entropy,max_prob,distance.",
)  # fmt: skip
@click.option(
    "--lens", metavar="SITES", default="none", show_default=True,
    help="What the lens reads meanwhile: residual, attention, mlp.",
)  # fmt: skip
@click.option(
    "--repeat", type=click.IntRange(1), metavar="R", default=3, show_default=True,
    help="Times that each variant is timed.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", type=Path,
    help="Write what was measured and recorded: report.html, NAME.zarr or NAME.zarr.zip.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    target: Path | None,
    force: bool,
    as_json: bool,
    prompt: str | None,
    file: str | None,
    messages: str | None,
    ids: str | None,
    no_chat_template: bool,
    stats: str,
    lens: str,
    **options: Any,
) -> None:
    """Time MODEL's parts layer by layer over a prompt read in chunks and recorded as extract does,
    measure their memory, and set the same passes without recording, and on PyTorch's fused
    attention, beside them."""
    if target is not None:
        if not target.name.endswith((*_TRACES, ".html")):
            raise UsageError(f"{target.name!r}: name a report.html, NAME.zarr or NAME.zarr.zip")
        output.check_target(target, force=force)
    given = given_prompt(prompt, file, messages, ids)
    sites = given_sites(lens)
    try:
        from attentropy.engine.profile.profile import profile
    except ImportError as error:
        raise AttentropyError(
            f"profile needs {error.name or 'torch'}: pip install 'attentropy[extract]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="attentropy-") as folder:
        with progress() as tell:
            trace = profile(
                prompt=given,
                chat_template=not no_chat_template,
                stats=tuple(name.strip() for name in stats.split(",")),
                sites=sites,
                progress=tell,
                **options,
                scratch=folder,
            )
        for note in trace.attrs["notes"]:
            click.echo(f"note: {plain(note)}", err=True)
        if target is not None:
            _write(trace, target, force=force)
        if as_json:
            told = {"path": str(target)} if target is not None else {}
            click.echo(output.json_line(told | trace.attrs["profile"]))
            return
        from attentropy.report.page.profile import show

        show(trace)
        if target is not None:
            output.tell(target, {}, as_json=False)


def _write(trace: Any, target: Path, *, force: bool) -> None:
    if target.name.endswith(_TRACES):
        trace.save(target, force=force)
        return
    from attentropy.report.findings.single import observe
    from attentropy.report.page.page import render

    output.write_text(target, render(trace, observe(trace)))
