"""The texts of the page of one trace: title, prompt, captions, provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.report.content.captions import of_reasoning, split_sentence
from attentropy.report.content.headline import headline
from attentropy.report.content.origin import origin
from attentropy.report.content.token_words import token_words
from attentropy.report.content.words import PromptWords, TokenWord, TraceWords
from attentropy.report.figures.placement import Placement
from attentropy.report.read.answer_words import is_chat, token_probabilities
from attentropy.report.read.maps import LONG, score_names
from attentropy.report.read.perplexity import perplexities
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.views import View
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
        tokens += f" and {n - prompt:,} of the answer{of_reasoning(trace)}"
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
        origin=for_sentence(origin(trace), 600),
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
