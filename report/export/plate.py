"""A figure before it is drawn: the chart for a width, its words, its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.csv import Table
from attentropy.report.scale import Scale
from attentropy.report.text import plain


@dataclass(frozen=True)
class Plate:
    """`draw` makes the chart for a layout of so many pixels; `title` and `caption` are one line
    each; `table` holds what is drawn."""

    draw: Callable[[int], dict[str, Any]]
    title: str
    caption: str
    table: Table


def captioned(trace: Trace, title: str, *sentences: str) -> str:
    """What is drawn, of which model and prompt, and by which version; no control character."""
    n = trace.dataset.sizes["position"]
    comma = "," if " of " in title else ""
    of = f"{title}{comma} of {model(trace)} over a prompt of {n:,} tokens."
    said = " ".join(sentence for sentence in (of, *sentences, _made()) if sentence)
    return plain(" ".join(said.split()))


def model(trace: Trace) -> str:
    """The model's name, and which revision of it."""
    known: Any = trace.attrs.get("model")
    known = known if isinstance(known, dict) else {}
    revision = known.get("revision")
    at = f" ({str(revision)[:12]})" if revision else ""
    return f"{str(known.get('name', 'a model'))[:200]}{at}"


def _made() -> str:
    try:
        return f"Made with attentropy {version('attentropy')}."
    except PackageNotFoundError:
        return "Made with attentropy."


def colours(scale: Scale, palette: str) -> str:
    """Which value has which colour."""
    return f"Colour: {scale.words(palette)}, light grey missing."
