"""The run of `report` and `extract`: a model reads the prompt, with progress on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from attentropy.report import collecting
from attentropy.report.commands.arguments import Parameters, run_arguments
from attentropy.report.commands.libraries import import_libraries
from attentropy.report.commands.option_names import option_words
from attentropy.report.commands.progress import show_progress
from attentropy.report.text import for_terminal

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace


class Destination(TypedDict, total=False):
    """The arguments of `extract` that say where the trace is written, and what happens there."""

    output: Path
    scratch: Path
    force: bool
    resume: bool
    keep_cache: bool


def extract_trace(parameters: Parameters, **destination: Unpack[Destination]) -> Trace:
    """Return the trace of a run with the parameters of `run_options`, and print its notes."""
    arguments = run_arguments(parameters)
    with collecting.imports():
        import_libraries("running a model", "torch", "transformers")
        from attentropy.engine.run.extract import extract

    with show_progress() as progress:
        trace = extract(**arguments, **destination, progress=progress)
    print_notes(trace)
    return trace


def inputs_of(parameters: Parameters) -> list[str | None]:
    """Return the paths that a run with these parameters reads: the model, the prompt's file."""
    return [
        parameters.get(name) for name in ("model", "file", "messages", "ids", "lens_translator")
    ]


def print_notes(trace: Trace) -> None:
    """Print the notes of a run on standard error."""
    for note in trace.attrs.get("notes", []):
        click.echo(f"note: {option_words(for_terminal(note))}", err=True)
