"""The texts of the page of one trace: title, prompt, captions, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.captions import of_reasoning, split_sentence
from attentropy.report.content.evidence import evidence
from attentropy.report.content.heading import heading
from attentropy.report.content.headline import headline
from attentropy.report.content.origin import origin
from attentropy.report.content.profile_words import has_profile
from attentropy.report.content.running_text import deepest_layer, running_text
from attentropy.report.content.words import TraceWords
from attentropy.report.figures.placement import Placement
from attentropy.report.read.answer_words import is_chat
from attentropy.report.read.maps import LONG, score_names
from attentropy.report.read.perplexity import perplexities
from attentropy.report.read.views import View
from attentropy.report.read.visible import run_progress
from attentropy.report.text import for_sentence
from attentropy.report.units import count


def trace_words(
    trace: Trace, placed: Placement, views: Sequence[View], rows: Sequence[str]
) -> TraceWords:
    """Return the page's texts; the first of `views` opens, `rows` are the names of its layers."""
    view = views[0]
    attrs = trace.attrs
    model = attrs.get("model", {})
    n, prompt = trace.dataset.sizes["position"], trace.prompt_tokens
    tokens = count(prompt, "token")
    line = None if has_profile(trace) else headline(trace)
    title, below = heading(trace) if line is None else ("", evidence(trace))
    if n > prompt:
        tokens = f"{prompt:,} + {count(n - prompt, 'token')}{of_reasoning(trace)}"
    name = for_sentence(str(model.get("name", "model")))
    entropy = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    deepest = deepest_layer(view)
    where = "the last layer" if deepest == len(rows) - 1 else f"layer {rows[deepest]}"
    shade = f"{entropy} after {where}"
    if view.readability is not None:  # then the last layer is the model's output
        shade = "doubt about the next token (entropy of the model's output)"
    others = _other_colours(views, deepest)
    return TraceWords(
        version=package_version(),
        title=f"attentropy: {name}, {count(prompt, 'token')}",
        heading=title,
        evidence=below,
        subtitle=_subtitle(trace, name, tokens, len(rows)),
        shade_note=f"Colour: {shade}, on the figure's scale{others}.",
        figure_title="Entropy by layer and position",
        description=(
            f"Heatmap of {entropy}, {count(len(rows), 'layer')} by {count(n, 'position')}, with an "
            f"overview, a magnified section of positions {placed.start} to {placed.stop - 1}, and "
            f"an inset of position {placed.column}. The findings say what it shows; the tables "
            "give its values."
        ),
        headline=line,
        perplexity=_perplexity(trace),
        partial=progress_banner(trace),
        origin=for_sentence(origin(trace), 600),
        text=running_text(trace, views),
        generated=n - prompt,
        split=split_sentence(trace).strip(),
        has_reasoning=bool((trace["role"] == "reasoning").any()),
        answer_title="Answer" if is_chat(trace) else "Continuation",
        provenance=list(_provenance(dict(attrs))),
    )


def _subtitle(trace: Trace, name: str, tokens: str, rows: int) -> str:
    """Return the model, its sizes and its dtype."""
    model = trace.attrs.get("model", {})
    heads = trace.dataset.sizes.get("head", 0)
    sizes = count(rows, "layer") + (f" × {count(heads, 'head')}" if heads else "")
    dtype = for_sentence(str(model.get("dtype", "")))
    device = for_sentence(str(model.get("device", "unknown device")))
    device = device.upper() if device == "cpu" else device
    parts = (name, sizes, tokens, _parameters(model.get("parameters")), f"{dtype} on {device}")
    return " · ".join(filter(None, parts))


def _other_colours(views: Sequence[View], deepest: int) -> str:
    """Return what colours the tokens that the lens did not read; empty where it read them all."""
    if len(views) < 2 or np.isfinite(views[0].values[deepest]).all():
        return ""
    return f"; underlined, where the lens did not read: {views[1].what}"


def progress_banner(trace: Trace) -> str:
    """Return how far an unfinished run came; empty for a finished one."""
    state = run_progress(trace)
    if state is None:
        return ""
    why = f" ({state['reason']})" if state["reason"] else ""
    return (
        f"Unfinished run: it stopped after {state['done']:,} of {count(state['tokens'], 'token')}"
        f"{why}. Grey positions were not reached."
    )


def missing_attention(trace: Trace) -> str:
    """Return what a long prompt's page cannot show of its attention, and why; empty for nothing."""
    if "entropy" not in trace or trace.prompt_tokens <= LONG:
        return ""
    missing = []
    if "map" not in trace:
        missing.append("the map of all tokens (record it with `map_tile`)")
    elif "received" not in trace:
        missing.append("the attention that each key receives (not in the trace)")
    if not score_names(trace):
        missing.append("the scores of the heads (record them with `scores=True`)")
    return f"Not shown: {'; '.join(missing)}." if missing else ""


def _perplexity(trace: Trace) -> str:
    """Return the perplexity of the text in one sentence; empty where it is not recorded."""
    values = perplexities(trace)
    names = {"generated": "other generated"} if "reasoning" in values else {}
    model = trace.attrs.get("model")
    size = model.get("vocabulary") if isinstance(model, dict) else None
    clauses = []
    for name, one in values.items():
        is_worse = isinstance(size, int) and one.value > size
        words = "worse than a uniform guess" if is_worse else one.words
        clauses.append(f"{words} over {count(one.tokens, f'{names.get(name, name)} token')}")
    return f"Perplexity: {', '.join(clauses)}." if clauses else ""


def _parameters(count: object) -> str:
    """Return the number of the model's parameters in words; empty where it is not recorded."""
    if not isinstance(count, int):
        return ""
    return f"{count / 1e9:.1f} B parameters" if count >= 1e9 else f"{count / 1e6:.1f} M parameters"


def _provenance(attrs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the trace records of its making, as names and values."""
    for section in (
        "model",
        "tokenizer",
        "prompt",
        "implementation",
        "versions",
        "options",
        "notes",
    ):
        value = attrs.get(section)
        if isinstance(value, dict):
            entries = [f"{key} {item}" for key, item in value.items() if item is not None]
            yield section, for_sentence(", ".join(entries), 2000)
        elif isinstance(value, list):
            yield section, for_sentence("; ".join(str(item) for item in value), 2000) or "none"
        elif value is not None:
            yield section, for_sentence(str(value), 200)


def package_version() -> str:
    """Return the version of this package, "unknown" where it is not installed."""
    try:
        return version("attentropy")
    except PackageNotFoundError:
        return "unknown"
