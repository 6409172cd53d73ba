"""The captions below the figure of one trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.content.hidden_words import columns_sentence
from attentropy.report.figures.placement import Placement, box_caption, in_sentence
from attentropy.report.read.reasoning import reasoning_end, reasoning_tokens
from attentropy.report.read.sources import read_sources
from attentropy.report.read.top_keys import leaves_sinks_out
from attentropy.report.read.views import View, site_words
from attentropy.report.units import count


def trace_captions(trace: Trace, placed: Placement, views: Sequence[View]) -> dict[str, str]:
    """Return the caption of each view, with gaps for `filled_caption`."""
    names = [view.name for view in views]
    lens = _of_lens(trace) if "lens" in names else ""
    lowest = f"layer {int(trace['layer'][0])}"
    split = split_sentence(trace)
    besides = "{besides}" if leaves_sinks_out(trace) else ""
    parts = {
        "lens": (
            f"{{what}}{lens}, one row per layer, {lowest} at the bottom",
            f"Cells show the lens's top token.{_of_gaps(trace) if 'lens' in names else ''}",
            "Green: position {column} magnified, with the probability of the top token.",
        ),
        "attention": (
            "{what} of every query (mean over heads, one head, or all heads of one layer)",
            f"Cells show the most attended token{besides}.",
            "Green: exact attention weights of the selected query and of the two before it, over "
            f"the keys that it attends to most{besides}, where the trace has them; otherwise the "
            "selected position magnified.",
        ),
    }
    return {
        name: (
            f"Top: {parts[name][0]}; the purple frame is magnified below. {parts[name][1]} "
            f"Colour: {{colours}}; hatched: missing. {parts[name][2]}{{readable}}{{box}}{split}"
            "{hidden}"
        )
        for name in names
    }


def split_sentence(trace: Trace) -> str:
    """Return what the line between prompt and answer is, after a blank; empty without an answer."""
    n, prompt = trace.dataset.sizes["position"], trace.prompt_tokens
    if n <= prompt:
        return ""
    if isinstance(trace, Difference):
        return " Vertical line: the answers begin."
    tokens = f"{count(n - prompt, 'generated token')}{of_reasoning(trace)}"
    dashed = " Dashed line: its reasoning ends." if prompt < reasoning_end(trace) < n else ""
    return f" Vertical line: the answer begins ({tokens}).{dashed}"


def of_reasoning(trace: Trace) -> str:
    """Return how many of the generated tokens are reasoning, after a comma; empty for none."""
    tokens = reasoning_tokens(trace)
    return f", {tokens:,} of them reasoning" if tokens else ""


def filled_caption(template: str, view: View, placed: Placement) -> str:
    """Return one of the captions, filled in for the statistic and the inset that open."""
    where = site_words(view.trace.site) if view.name == "lens" else ""
    texts = {
        "{what}": view.what + where,
        "{colours}": view.scale.words(),
        "{column}": f"{placed.column:,}",
        "{readable}": readable_sentences(view),
        "{besides}": " besides sink keys",
        "{box}": f" Blue box: {in_sentence(box_caption(view.name, placed))}."
        if placed.caption
        else "",
        "{hidden}": columns_sentence(read_sources(view.trace)),
    }
    for gap, text in texts.items():
        template = template.replace(gap, text)
    return template


def readable_sentences(view: View) -> str:
    """Return in which layers the view's lens can be read, after a blank; empty if unknown."""
    labels = [str(int(layer)) for layer in view.trace["layer"]]
    return view.readability.sentences(labels) if view.readability is not None else ""


def _of_gaps(trace: Trace) -> str:
    """Return what the lines over a sampled lens are, after a blank; empty where it read all."""
    if np.isfinite(trace.lens("lens_entropy")).any(0).all():
        return ""
    return " Grey lines: positions that the lens did not read."


def _of_lens(trace: Trace) -> str:
    """Return at how many positions and layers the lens reads; empty for all."""
    is_read = np.isfinite(trace.lens("lens_entropy"))
    layers, n = is_read.shape
    positions, rows = is_read.any(0), is_read.any(1)
    at = f"{int(positions.sum()):,} of {count(n, 'position')}"
    at = "every position" if positions.all() else at
    of_layers = "" if rows.all() else f" ({int(rows.sum())} of {count(layers, 'layer')} read)"
    return f" at {at}{of_layers}"
