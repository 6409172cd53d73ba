"""What `report` and `extract` share: the model's and the prompt's options, and the run itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.commands.bytes import Bytes
from attentropy.report.commands.prompt import given_prompt
from attentropy.report.text import plain

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace

F = TypeVar("F", bound=Callable[..., Any])

_SUBJECT = (
    click.argument("model", required=False),
    click.option("-p", "--prompt", metavar="TEXT", help="The prompt."),
    click.option(
        "-f",
        "--file",
        metavar="FILE",
        help="A file with the prompt; - reads standard input (here, in -m and in --ids).",
    ),
    click.option(
        "-m",
        "--messages",
        metavar="JSON",
        help="A file with chat messages: a list of role and content, tool turns too.",
    ),
    click.option(
        "--ids", metavar="FILE", help="A file with token ids: a JSON list, or numbers and blanks."
    ),
    click.option("--system", metavar="TEXT", help="A system turn before the prompt."),
    click.option("--no-chat-template", is_flag=True, help="Read the prompt as raw text."),
    click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub model."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="Of the weights; by default the checkpoint's own, float32 on a CPU.",
    ),
    click.option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:1 …, or auto for all there are; default: cuda where there is one.",
    ),
    click.option(
        "--quantize",
        type=click.Choice(["4bit", "8bit"]),
        help="Load the weights in fewer bits (needs bitsandbytes).",
    ),
)
_OPTIONS = (
    *_SUBJECT,
    click.option(
        "--stats",
        metavar="NAMES",
        help="Kept of attention beside its entropy: max_prob, varentropy, distance, sink_mass, "
        "top_key, lse; default all but varentropy.",
    ),
    click.option(
        "--layers", metavar="LAYERS", help="Layers whose attention is kept: 0,5,10: or -4:."
    ),
    click.option(
        "--heads",
        metavar="HEADS",
        default="all",
        show_default=True,
        help="Heads that are kept: all, some (0,3,5:), or their mean.",
    ),
    click.option(
        "--lens",
        metavar="SITES",
        default="residual",
        show_default=True,
        help="What the logit lens reads in each layer: residual, attention, mlp, or none.",
    ),
    click.option(
        "--lens-layers", metavar="LAYERS", help="Layers that it reads: 0,5,10: or -4:; default all."
    ),
    click.option(
        "--lens-positions",
        metavar="POSITIONS",
        help="Positions that it reads: -512:, 0:100, template or all; default all up to a budget.",
    ),
    click.option(
        "--map-tile",
        metavar="SIZE",
        default="auto",
        show_default=True,
        help="Tokens to a tile of the token × token map: 64, 64x32 (queries by keys), or none; "
        "auto: a map of at most 16 MiB where the prompt has more than 512 tokens.",
    ),
    click.option(
        "--map-heads",
        type=click.Choice(["mean", "all"]),
        default="mean",
        show_default=True,
        help="The map of the heads' mean, or one for each head.",
    ),
    click.option(
        "--window",
        "windows",
        metavar="Q0:Q1,K0:K1",
        multiple=True,
        help="Keep the exact attention weights of these queries and keys, as in -64:,0:512; "
        "up to eight times.",
    ),
    click.option(
        "--scores/--no-scores",
        default=True,
        show_default=True,
        help="Score the heads (sink, local, previous, induction, diffuse).",
    ),
    click.option(
        "--max-new-tokens",
        type=click.IntRange(0),
        default=8,
        show_default=True,
        help="Length of the greedy answer.",
    ),
    click.option(
        "--top-k",
        type=click.IntRange(1, 32),
        default=5,
        show_default=True,
        help="Likeliest tokens kept per cell.",
    ),
    click.option(
        "--chunk",
        type=click.IntRange(1),
        metavar="TOKENS",
        help="Tokens read at a time; default from the memory that is free.",
    ),
    click.option(
        "--memory",
        type=Bytes(),
        metavar="BYTES",
        help="What the run may hold beside weights and cache: 2GiB; it decides the chunk.",
    ),
    click.option(
        "--storage",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="Of the values in the trace; float16 says how far off it is.",
    ),
)


def subject_options(function: F) -> F:
    """Those of them that say which model reads which prompt."""
    for option in reversed(_SUBJECT):
        function = option(function)
    return function


def run_options(function: F) -> F:
    """The arguments of a run, in the order in which `--help` shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def run(
    *,
    model: str | None,
    prompt: str | None,
    file: str | None,
    messages: str | None,
    ids: str | None,
    system: str | None,
    no_chat_template: bool,
    revision: str | None,
    dtype: str | None,
    device: str | None,
    quantize: str | None,
    lens: str,
    lens_layers: str | None,
    lens_positions: str | None,
    map_tile: str,
    map_heads: str,
    windows: tuple[str, ...],
    scores: bool,
    max_new_tokens: int,
    top_k: int,
    stats: str | None,
    layers: str | None,
    heads: str,
    chunk: int | None,
    memory: int | None,
    storage: str,
    **place: Any,
) -> Trace:
    """Extract with the options of `run_options`, showing progress on a terminal.

    place: where `extract` puts the trace, and what it makes of an unfinished one there.
    """
    given = given_prompt(prompt, file, messages, ids)
    extract = _extract()
    chosen = {} if stats is None else {"stats": [name.strip() for name in stats.split(",")]}
    with progress() as tell:
        trace: Trace = extract(
            model,
            given,
            chat_template=not no_chat_template,
            system=system,
            revision=revision,
            dtype=dtype,
            device=device,
            quantize=quantize,
            max_new_tokens=max_new_tokens,
            top_k=top_k,
            sites=given_sites(lens),
            lens_layers=lens_layers,
            lens_positions=lens_positions,
            layers=layers,
            heads=heads,
            chunk=chunk,
            memory=memory,
            storage=storage,
            map_tile=map_tile,
            map_heads=map_heads,
            windows=windows,
            scores=scores,
            progress=tell,
            **chosen,
            **place,
        )
    for note in trace.attrs.get("notes", []):
        click.echo(f"note: {plain(note)}", err=True)
    return trace


def given_sites(lens: str) -> tuple[str, ...]:
    """The lens's sites that --lens names; none for "none"."""
    sites = tuple(site.strip() for site in lens.split(","))
    if "none" in sites and len(sites) > 1:
        raise UsageError("--lens none reads nothing; leave out the other sites")
    return () if sites == ("none",) else sites


def _extract() -> Callable[..., Any]:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise AttentropyError(
            f"running a model needs {error.name or 'torch'}: pip install 'attentropy[extract]'"
        ) from error
    from attentropy.engine.run.extract import extract

    return extract


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress callback on a terminal; None where standard error is a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total if done else None)

        yield tell
