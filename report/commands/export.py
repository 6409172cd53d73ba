"""`attentropy export`: writes one figure of the page as a file for a paper."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.statistics import ATTENTION_STATISTICS
from attentropy.report.commands import output
from attentropy.report.commands.endings import FIGURE_ENDINGS, FIGURE_FORMATS, stem
from attentropy.report.commands.examples import examples
from attentropy.report.commands.page_options import max_cells_option
from attentropy.report.commands.segments import name_segments
from attentropy.report.export.figure_names import FIGURES
from attentropy.report.text import for_terminal

_FORMATS = ", ".join(FIGURE_FORMATS[:-1]) + f" or {FIGURE_FORMATS[-1]}"
_STATISTICS = [
    "normalized_entropy",
    *(statistic.name for statistic in ATTENTION_STATISTICS if statistic.labels is not None),
]
_HELP = f"""\
Export one figure of TRACE, or of a saved comparison, as a file, and print its caption.

--figure story is the page's headline above the figure with which the page opens, to paste into
a paper, an issue or a chat.

--figure lens can show --stat entropy, lens_kl, probability or lens_rank; --figure attention
can show entropy, {", ".join(_STATISTICS[:-1])} or {_STATISTICS[-1]}, if the trace has it.

--figure attention shows the mean over heads by default, one head of every layer with --head,
and all heads of one layer with --layer. With both, the inset shows the attention weights of
that head.

--by word (or message, segment) alone writes a CSV of every statistic per word: surprisal,
entropies, and the share of the answer's attention; --layer and --head select as above. With
--figure, or with a picture as output, the figure has a column per word.
"""
_EXAMPLES = examples(
    "attentropy export trace.zarr.zip --figure story -o story.png",
    "attentropy export trace.zarr.zip -o lens.pdf --width 85",
    "attentropy export trace.zarr.zip --figure attention --layer 5 -o layer5.png",
    "attentropy export trace.zarr.zip --stat lens_kl --format csv -o -",
    "attentropy export trace.zarr.zip --by word -o words.csv",
    "attentropy export trace.zarr.zip --by word --figure attention -o words.pdf",
)


@click.command("export", help=_HELP, epilog=_EXAMPLES)
@click.argument("path", metavar="TRACE", type=Path)
@click.option(
    "--figure",
    type=click.Choice(list(FIGURES)),
    help="Figure to export.  [default: lens]",
)
@click.option(
    "--by", type=click.Choice(["token", "word", "message", "segment"]),
    help="Unit of the figure's columns (lens and attention); alone, write sums and means per unit "
    "as CSV.",
)  # fmt: skip
@click.option(
    "--segments", metavar="FILE",
    help="JSON file of named parts of the prompt, for --by segment; see `render`.",
)  # fmt: skip
@click.option(
    "--stat", metavar="NAME", help="Statistic shown by the colours; see above.  [default: entropy]"
)
@click.option(
    "--site",
    metavar="NAME",
    help="Lens site: residual, translated, attention or mlp.  [default: residual]",
)  # fmt: skip
@click.option(
    "--section", metavar="A:B", help="Positions (with --by, units) to magnify: 0:128 or -64:."
)
@click.option(
    "--inset", type=int, metavar="POSITION", help="Position (or unit) shown in the inset."
)
@click.option(
    "--layer", type=int, metavar="L", help="Layer of the attention or map figure; see above."
)
@click.option(
    "--head", type=int, metavar="H", help="Head of the attention or map figure; see above."
)
@click.option(
    "--score",
    metavar="NAME",
    help="Score shown by --figure heads: entropy, sink, local, previous, induction or diffuse.  "
    "[default: entropy]",
)
@click.option(
    "--palette",
    type=click.Choice(["diverging", "cividis"]),
    help="Colour palette of the entropies.  [default: diverging]",
)
@click.option(
    "--range", metavar="LOW:HIGH",
    help="Colour range, such as 0:10.  [default: the full range of values]",
)  # fmt: skip
@click.option(
    "--template-box/--no-template-box",
    default=True,
    help="Mark the template tokens after the question with a box (lens and attention).  "
    "[default: template-box]",
)
@click.option(
    "--lens-skill/--no-lens-skill",
    default=True,
    help="Show how far the lens can be read at each layer, and dot the layers where it cannot "
    "(lens).  [default: lens-skill]",
)
@click.option(
    "--caption/--no-caption",
    default=True,
    help="Write the caption below the figure.  [default: caption]",
)
@click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True,
    help="Colour theme.",
)  # fmt: skip
@click.option(
    "--width", type=float, metavar="MM", default=180, show_default=True,
    help="Figure width in mm: 180 for a page, 85 for a column.",
)  # fmt: skip
@click.option(
    "--font-size", type=float, metavar="PT", default=7, show_default=True,
    help="Label size in points.",
)  # fmt: skip
@click.option(
    "--dpi", type=int, metavar="N", default=300, show_default=True, help="PNG resolution in dpi."
)
@click.option(
    "-o", "--output", "target", type=Path, metavar="FILE",
    help="Output file: NAME.svg, NAME.png, NAME.pdf, or NAME.csv for the plotted values; - writes "
    "to standard output.  [default: TRACE-FIGURE.svg]",
)  # fmt: skip
@click.option(
    "--format", type=click.Choice(FIGURE_FORMATS),
    help="File format, for -o - or without -o.  [default: svg without -o]",
)  # fmt: skip
@max_cells_option
@output.redact_option
@output.force_option
@output.json_option
def command(
    path: Path,
    figure: str | None,
    by: str | None,
    segments: str | None,
    target: Path | None,
    format: str | None,
    max_cells: int | None,
    redact_tokens: bool,
    force: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Write one figure."""
    parts = [name for name in (figure or (None if by else "lens"), by) if name]
    ending = format or ("csv" if by and figure is None else "svg")
    target = target or Path(f"{stem(path)}-{'-'.join(parts)}.{ending}")
    output.reserve(
        target, force=force, inputs=[path], endings=FIGURE_ENDINGS, as_json=as_json,
        elsewhere={
            "a page": f"attentropy render {shlex.quote(str(path))} -o {shlex.quote(str(target))}"
        },
    )  # fmt: skip
    format = _format_of(target, format)
    from attentropy.report.compare import stored
    from attentropy.report.export.export import export

    trace = stored.open(path, max_cells=max_cells)
    trace = trace if segments is None else name_segments(trace, segments)
    trace = stored.without_texts(trace) if redact_tokens else trace
    result = export(trace, figure, format, by=by, **choices)
    output.write_bytes(target, result.data)
    facts = {"title": result.title, "caption": result.caption}
    output.print_result(target, facts, as_json=as_json)
    if not as_json:
        output.say(for_terminal(result.caption), target)


def _format_of(target: Path, format: str | None) -> str:
    """Return the format of the file. Raises `UsageError` where it is missing or contradicted."""
    if output.is_standard_output(target):
        if format is None:
            raise UsageError(f"-o - does not say the format; add --format {_FORMATS}")
        if format in ("png", "pdf") and sys.stdout.isatty():
            raise UsageError(f"a terminal cannot show a {format}; redirect it, or name a file")
        return format
    ending = target.suffix.lower().removeprefix(".")
    if format not in (None, ending):
        raise UsageError(f"{target.name!r} ends in .{ending}, and --format is {format}")
    return ending
