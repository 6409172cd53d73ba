"""A figure before it is drawn: its chart for a given width, its texts and its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.content.origin import model_name, sides, version_sentence
from attentropy.report.export.csv_table import CsvTable
from attentropy.report.export.paragraphs import Paragraph
from attentropy.report.figures.specification import VegaLite
from attentropy.report.scale import Scale
from attentropy.report.text import for_terminal
from attentropy.report.units import count


@dataclass(frozen=True)
class FigurePlan:
    """A figure that can be drawn at any width.

    `draw` returns the chart for a layout of the given width in pixels; `title` and `caption` are
    one line each; `table` has the values that are drawn. `above` are the paragraphs above it.
    """

    draw: Callable[[int], VegaLite]
    title: str
    caption: str
    table: CsvTable
    above: tuple[Paragraph, ...] = ()


def make_caption(trace: Trace, title: str, *sentences: str) -> str:
    """Return what is drawn, of which model and prompt, and by which version.

    The caption contains no control character.
    """
    n, prompt = trace.dataset.sizes["position"], trace.prompt_tokens
    comma = "," if " of " in title else ""
    start = f"{title}{comma} of {model_name(trace)} over a prompt of {count(prompt, 'token')}."
    if isinstance(trace, Difference):
        shared = f"{int(trace.both.sum()):,} of {count(n, 'column')} are in both."
        start = f"{title}. {sides(trace)} {shared}"
    caption = " ".join(sentence for sentence in (start, *sentences, version_sentence()) if sentence)
    return for_terminal(" ".join(caption.split()))


def colour_sentence(scale: Scale, palette: str) -> str:
    """Return the sentence that says which value has which colour."""
    return f"Colour: {scale.words(palette)}; hatched: missing."
