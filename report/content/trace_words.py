"""The texts of the page of one trace: title, prompt, captions, provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.report.compare.difference import Difference
from attentropy.report.content.headline import headline
from attentropy.report.content.token_words import token_words
from attentropy.report.content.words import PromptWords, TokenWord, TraceWords
from attentropy.report.figures.placement import Placement, box_caption, in_sentence
from attentropy.report.read.answer_words import is_chat, token_probabilities
from attentropy.report.read.maps import LONG, score_names
from attentropy.report.read.perplexity import perplexities
from attentropy.report.read.reasoning import reasoning_end, reasoning_tokens
from attentropy.report.read.top_keys import leaves_sinks_out
from attentropy.report.read.views import View, site_words
from attentropy.report.read.visible import run_progress
from attentropy.report.scale import Scale
from attentropy.report.text import for_prompt, for_sentence, mark_whitespace
from attentropy.report.units import count, probability

_FIRST, _LAST = 24, 28  # tokens of a long prompt that are shown before it is unfolded
_FOLDED = 120  # tokens from which on a prompt is folded
_PROMPT_TOKENS = 3000  # of longer prompts only head and tail are in the page
_HEAD, _TAIL = 200, 800
SHADES = 32


def trace_words(trace: Trace, placed: Placement, view: View, rows: Sequence[str]) -> TraceWords:
    """Return the page's texts; `view` is the one that opens, `rows` the names of its layers."""
    attrs = trace.attrs
    model = attrs.get("model", {})
    n, prompt = trace.dataset.sizes["position"], trace.prompt_tokens
    tokens = count(prompt, "token")
    start, line = reasoning_end(trace), headline(trace)
    if n > prompt:
        tokens += f" and {n - prompt:,} of the answer{_of_reasoning(trace)}"
    name = for_sentence(str(model.get("name", "model")))
    entropy = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    deepest = deepest_layer(view)
    words = token_words(trace, view.values[deepest])
    where = "the last layer" if deepest == len(rows) - 1 else f"layer {rows[deepest]}"
    shade = f"{entropy} after {where}"
    if view.readability is not None:  # then the last layer is the model's output
        shade = "doubt about the next token (entropy of the model's output)"
    return TraceWords(
        version=package_version(),
        title=f"attentropy: {name}, {count(prompt, 'token')}",
        heading=f"Where {name} is certain and where it is not",
        subtitle=(
            f"{tokens}, {count(len(rows), 'layer')}, "
            f"{count(trace.dataset.sizes.get('head', 0), 'head')}, "
            f"{_parameters(model.get('parameters'))}{for_sentence(str(model.get('dtype', '')))} on "
            f"{for_sentence(str(model.get('device', 'unknown device')))}; all entropies in nats"
        ),
        shade_note=f"Colour: {shade}, {view.scale.words()}.",
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
        prompt=_words(trace, view, words, 0, prompt),
        reasoning=_words(trace, view, words, prompt, start),
        generated=_words(trace, view, words, start, n),
        split=split_sentence(trace).strip(),
        has_reasoning=bool((trace["role"] == "reasoning").any()),
        answer_title="Answer" if is_chat(trace) else "Continuation",
        provenance=list(_provenance(dict(attrs))),
    )


def deepest_layer(view: View) -> int:
    """Return the last layer with a value; the last of all where none has one."""
    measured = np.flatnonzero(np.isfinite(view.values).any(1))
    return int(measured[-1]) if measured.size else len(view.values) - 1


def _words(
    trace: Trace, view: View, words: Callable[[int], str], first: int, last: int
) -> PromptWords:
    """Return the tokens first … last−1, coloured by the entropies of the deepest layer.

    `words`: what a tooltip says of the word of a position.
    """
    entropies, scale = view.values[deepest_layer(view)], view.scale
    texts, roles = trace.tokens, trace["role"]
    surprisals = -trace[TOKEN_LOGPROB] if TOKEN_LOGPROB in trace else np.full(len(texts), np.nan)
    values = token_probabilities(trace)
    generated = range(trace.prompt_tokens, trace.prompt_tokens + len(values))

    def tokens(start: int, stop: int) -> list[TokenWord]:
        return [
            TokenWord(
                text=mark_whitespace(texts[i]) if texts[i].strip() == "" else for_prompt(texts[i]),
                role=str(roles[i]),
                shade=_shade(entropies[i], scale),
                title=f"position {i}, {roles[i]}: {_nats(entropies[i])}{_surprisal(surprisals[i])}"
                f"{words(i)}",
                probability=probability(values[i - generated.start]) if i in generated else "",
            )
            for i in range(first + start, first + stop)
        ]

    return _folded(last - first, tokens)


def _folded(n: int, tokens: Callable[[int, int], list[TokenWord]]) -> PromptWords:
    """Fold the middle of a prompt of n tokens; `tokens(start, stop)` returns those of a range."""
    if n <= _FOLDED:
        return PromptWords(first=tokens(0, n))
    inner, end = (_FIRST, n - _LAST), n
    parts = [inner] if n <= _PROMPT_TOKENS else [(_FIRST, _HEAD), (end - _TAIL, end - _LAST)]
    return PromptWords(
        first=tokens(0, _FIRST),
        hidden=inner[1] - inner[0],
        folded=[tokens(*part) for part in parts],
        left_out=f"… {count(n - _HEAD - _TAIL, 'token')} not shown …",
        last=tokens(n - _LAST, n),
    )


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
            "Cells show the lens's top token.",
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
            f"Colour: {{colours}}; light grey: missing. {parts[name][2]}{{readable}}{{box}}{split}"
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
    tokens = f"{count(n - prompt, 'generated token')}{_of_reasoning(trace)}"
    dashed = " Dashed line: its reasoning ends." if prompt < reasoning_end(trace) < n else ""
    return f" Vertical line: the answer begins ({tokens}).{dashed}"


def _of_reasoning(trace: Trace) -> str:
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
    }
    for gap, text in texts.items():
        template = template.replace(gap, text)
    return template


def readable_sentences(view: View) -> str:
    """Return in which layers the view's lens can be read, after a blank; empty if unknown."""
    labels = [str(int(layer)) for layer in view.trace["layer"]]
    return view.readability.sentences(labels) if view.readability is not None else ""


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


def _of_lens(trace: Trace) -> str:
    """Return at how many positions and layers the lens reads; empty for all."""
    is_read = np.isfinite(trace.lens("lens_entropy"))
    layers, n = is_read.shape
    positions, rows = is_read.any(0), is_read.any(1)
    at = f"{int(positions.sum()):,} of {count(n, 'position')}"
    at = "every position" if positions.all() else at
    of_layers = "" if rows.all() else f" ({int(rows.sum())} of {count(layers, 'layer')} read)"
    return f" at {at}{of_layers}"


def _nats(value: float) -> str:
    """Return an entropy with its unit."""
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _surprisal(value: float) -> str:
    """Return a token's surprisal; empty where there is none."""
    return f", surprisal {value:.2f} nats" if np.isfinite(value) else ""


def _perplexity(trace: Trace) -> str:
    """Return the perplexity of the text in one sentence; empty where it is not recorded."""
    values = perplexities(trace)
    names = {"generated": "other generated"} if "reasoning" in values else {}
    clauses = [
        f"{one.words} over {count(one.tokens, f'{names.get(name, name)} token')}"
        for name, one in values.items()
    ]
    return f"Perplexity: {', '.join(clauses)}." if clauses else ""


def _shade(value: float, scale: Scale) -> str:
    """Return the CSS class of an entropy's colour."""
    if not np.isfinite(value):
        return "missing"
    return f"s{min(SHADES - 1, int(float(scale.at(value)) * SHADES))}"


def _parameters(count: object) -> str:
    """Return the number of the model's parameters in words; empty where it is not recorded."""
    if not isinstance(count, int):
        return ""
    return (
        f"{count / 1e9:.1f} B parameters, " if count >= 1e9 else f"{count / 1e6:.1f} M parameters, "
    )


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
