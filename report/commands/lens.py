"""`attentropy lens`: fits a lens that can be read at every layer."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.report.commands import output
from attentropy.report.commands.endings import refuse_store
from attentropy.report.commands.examples import examples
from attentropy.report.commands.libraries import import_libraries
from attentropy.report.commands.options import run_option
from attentropy.report.commands.progress import show_progress
from attentropy.report.commands.quantities import TokenCount
from attentropy.report.text import for_terminal

if TYPE_CHECKING:
    from attentropy.engine.translator.translator import Translator

ENDINGS = (".lens.safetensors",)

_HELP = """\
Fit a translated lens to a model. The plain logit lens reads a layer with the head of the
last one, and so reads early layers of many models no better than a uniform guess. A
translated lens maps each layer to what the head expects; it predicts the next token, and
cannot show rehearsal."""
_FIT_HELP = """\
Fit one map per layer of MODEL (a hub id or a folder) on the text of the FILEs, measure it on
text that was held out, and write the maps for --lens-translator of report and extract."""
_EXAMPLES = examples(
    "attentropy lens fit MODEL --text book.txt -o my-model.lens.safetensors",
)


@click.group("lens", help=_HELP, epilog=_EXAMPLES)
def command() -> None:
    """Group the commands that make lenses."""


@command.command(
    "fit", help=_FIT_HELP, short_help="Fit a lens to a model on your own text.", epilog=_EXAMPLES
)
@click.argument("model")
@click.argument("more", nargs=-1, metavar="[FILE]...")
@click.option(
    "--text", "texts", multiple=True, required=True, type=Path, metavar="FILE",
    help="Text file to fit on, in UTF-8; more files may follow it.",
)  # fmt: skip
@click.option(
    "--tokens", type=TokenCount(), default=8000, show_default=True, metavar="N",
    help="Number of tokens to read, in turn from each file.",
)  # fmt: skip
@run_option("--revision")
@run_option("--dtype")
@run_option("--device")
@click.option(
    "-o", "--output", "target", type=Path, required=True, metavar="FILE",
    help="Output file NAME.lens.safetensors.",
)  # fmt: skip
@output.force_option
@output.json_option
def fit(
    model: str,
    more: tuple[str, ...],
    texts: tuple[Path, ...],
    tokens: int,
    target: Path,
    force: bool,
    as_json: bool,
    **placement: Any,
) -> None:
    """Fit the maps, write them, and print what they change on held-out text."""
    files = [*texts, *map(Path, more)]
    refuse_store(model, advice="a trace cannot be fitted to; name its model")
    output.reserve(target, force=force, inputs=[model, *files], endings=ENDINGS)
    translator = _fit_lens(model, files, target, tokens=tokens, force=force, **placement)
    _print(translator, model, target, as_json=as_json)


def _fit_lens(model: str, files: Sequence[Path], target: Path, **options: Any) -> Translator:
    import_libraries("fitting a lens", "torch", "transformers")
    from attentropy.engine.translator.fit import fit_lens
    from attentropy.engine.translator.windows import FewTokensWarning

    with show_progress() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", FewTokensWarning)  # which `_print` writes as a note
        return fit_lens(model, files, target, progress=progress, **options)


def _print(translator: Translator, model: str, target: Path, *, as_json: bool) -> None:
    """Print the table of a fit, or its values as JSON, and what to do with the file."""
    from attentropy.engine.translator.file import read_table
    from attentropy.engine.translator.windows import FEW_TOKENS, few_tokens

    table, tokens = read_table(translator), int(translator.facts["tokens"])
    if tokens < FEW_TOKENS:
        click.echo(f"note: {few_tokens(tokens)}", err=True)
    if not as_json:
        for line in table_lines(table):
            click.echo(line)
    facts = {
        "tokens": tokens, "held_out_rows": int(translator.facts["held_out"]), "layers": table,
    }  # fmt: skip
    words = shlex.join([model, "--lens-translator", str(target)])
    then = f"Next: attentropy report {for_terminal(words)}"
    output.print_result(target, facts, as_json=as_json, then=then)


def table_lines(table: Sequence[dict[str, float]]) -> list[str]:
    """Return the lines of a fit's table: KL and agreement of each layer, plain and translated."""
    lines = [
        "Held-out text: KL to the model's output (nats), and how often the top token is the same",
        "layer   KL plain  translated   agreement plain  translated",
    ]
    lines += [
        f"{row['layer']:5}  {row['kl_before']:9.2f}  {row['kl']:10.2f}   "
        f"{row['agreement_before']:15.0%}  {row['agreement']:10.0%}"
        for row in table
    ]
    return lines
