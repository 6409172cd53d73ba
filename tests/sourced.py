"""A made-up group `sources` for a trace: what hiding spans did to the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from answers import answered
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sources import LABELS
from attentropy.engine.trace.units import starts_word
from attentropy.report.read.generated_tokens import generated_tokens

NAN = float("nan")


@dataclass(frozen=True)
class Made:
    """A made-up span: positions [start, stop), and what hiding it does to ln p of each word.

    effects: by the word's text, (with its copies, alone, label). band: the layers in which it is
    read. enough: ln p of the words where it alone is visible, as a change.
    """

    start: int
    stop: int
    effects: Mapping[str, tuple[float, float, str]] = field(default_factory=dict)
    level: str = "word"
    role: str = "asks"
    id: str = ""
    band: tuple[int, int] | None = None
    enough: float = NAN
    mass: float = 0.05
    is_tested: bool = True


def with_sources(
    trace: Trace,
    spans: Sequence[Made],
    decisive: Sequence[str],
    *,
    template: Mapping[str, float] | None = None,
    evidence: Mapping[str, float] | None = None,
    **attrs: Any,
) -> Trace:
    """Return the same trace with a group `sources`; `template` and `evidence` are by word."""
    tokens = generated_tokens(trace)
    steps = next((i for i, part in enumerate(tokens.parts) if part != "content"), len(tokens.parts))
    starts = np.flatnonzero(starts_word(tokens.texts[:steps], tokens.roles[:steps]))
    edges = [*starts.tolist(), steps]
    texts = ["".join(tokens.texts[a:b]).strip(" .") for a, b in pairwise(edges)]
    words, many, layers = len(texts), len(spans), sorted({int(n) for n in trace["layer"]})
    data: dict[str, Any] = {
        "span_start": ("span", [s.start for s in spans]),
        "span_stop": ("span", [s.stop for s in spans]),
        **{
            f"span_{name}": (
                "span", np.array([getattr(s, name) for s in spans], np.dtypes.StringDType()),
            )
            for name in ("level", "role", "id")
        },
        "span_refined": ("span", np.zeros(many, int)),
        "step_text": ("step", np.array(tokens.texts[:steps], np.dtypes.StringDType())),
        "step_ids": ("step", np.arange(steps)),
        "step_position": ("step", trace.prompt_tokens + np.arange(steps)),
        "word_start": ("word", edges[:-1]), "word_stop": ("word", edges[1:]),
        "word_decisive": ("word", [int(text in decisive) for text in texts]),
        "logprob": ("step", np.asarray(trace["generated_logprob"][:steps], np.float64)),
        "control_draws": ("span", [20 * s.is_tested for s in spans]),
        "attention_mass": ("span", [s.mass for s in spans]),
    }  # fmt: skip
    arrays = {
        name: np.full((many, steps), NAN)
        for name in ("with_copies", "direct", "total", "remove", "sufficient")
    }
    from_layer = np.full((many, len(layers), steps), NAN)
    low, high = np.full((many, words), NAN), np.full((many, words), NAN)
    labels = np.full((many, words), LABELS.index("no effect"), np.int8)
    for i, span in enumerate(spans):
        if not span.is_tested:
            labels[i] = LABELS.index("not tested")
            continue
        for w, text in enumerate(texts):
            hidden, alone, label = span.effects.get(text, (-0.01, -0.01, "no effect"))
            at = edges[w]
            own = slice(at, edges[w + 1])
            for name, value in (
                ("with_copies", hidden),
                ("direct", alone),
                ("total", hidden * 1.1),
            ):
                arrays[name][i, own] = 0
                arrays[name][i, at] = value
            low[i, w], high[i, w], labels[i, w] = -0.2, 0.1, LABELS.index(label)
            if np.isfinite(span.enough):
                arrays["sufficient"][i, own] = 0
                arrays["sufficient"][i, at] = span.enough
            if span.band is not None:
                first, last = span.band
                shape = [1.0 if n <= first else 0.5 if n <= last else 0.02 for n in layers]
                from_layer[i, :, own] = 0
                from_layer[i, :, at] = hidden * np.array(shape)
    data |= {f"effect_{name}": (("span", "step"), values) for name, values in arrays.items()}
    data |= {
        "effect_from_layer": (("span", "layer", "step"), from_layer),
        "control_low": (("span", "word"), low), "control_high": (("span", "word"), high),
        "control_total_low": (("span", "word"), low),
        "control_total_high": (("span", "word"), high),
        "label": (("span", "word"), labels),
        "effect_template": ("step", _by_word(template, texts, edges, steps)),
        "effect_all_evidence": ("step", _by_word(evidence, texts, edges, steps)),
    }  # fmt: skip
    facts = {"how": "hide", "floor": 0.1, "noise": 1e-6, "draws": 20, "level": "word", **attrs}
    copied = Trace(trace.dataset)
    group = xr.Dataset(data, coords={"layer": layers}, attrs=facts)
    object.__setattr__(copied, "sources", group)
    return copied


def _by_word(
    values: Mapping[str, float] | None, texts: Sequence[str], edges: Sequence[int], steps: int
) -> np.ndarray:
    """Return a change per step from those by word; NaN where none are given."""
    own = np.full(steps, NAN)
    if values is not None:
        own[:] = 0
        for w, text in enumerate(texts):
            own[edges[w]] = values.get(text, -0.01)
    return own


def word_span(trace: Trace, text: str, **more: Any) -> Made:
    """Return a span of the one word of the prompt that is written so."""
    tokens = trace.tokens[: trace.prompt_tokens]
    for start in range(len(tokens)):
        for stop in range(start + 1, min(len(tokens), start + 6) + 1):
            if "".join(tokens[start:stop]).strip(" ") == text:
                return Made(start, stop, **more)
    raise ValueError(text)


ANSWER = (" The", " capital", " of", " Australia", " is", " Can", "berra", ".", "<|eot_id|>")


def capital(trace: Trace | None = None, **more: Any) -> Trace:
    """Return a trace that asks for a capital, with what “Canberra” (0.65) rests on.

    On “capital” (0.001 without it and its copy in the answer; 0.62 alone) and “Australia” (0.002).
    """
    trace = trace or answered(ANSWER, layers=6)
    logprob = trace["generated_logprob"].copy()
    logprob[5:7] = np.log(0.65), 0
    trace = Trace(trace.dataset.assign(generated_logprob=("step", logprob)))
    to = {p: float(np.log(p) - np.log(0.65)) for p in (0.001, 0.62, 0.002)}
    own = {"Canberra": (to[0.001], to[0.62], "source"), "capital": (-5.4, -5.4, "source")}
    spans = [
        word_span(trace, "What"),
        word_span(trace, "capital", effects=own, band=(2, 4), mass=0.1),
        word_span(trace, "of", is_tested=False),
        word_span(trace, "Australia", effects={"Canberra": (to[0.002], to[0.002], "source")},
                  band=(5, 5)),
        word_span(trace, "is"), word_span(trace, "the"), word_span(trace, "?"),
    ]  # fmt: skip
    return with_sources(trace, spans, ["Canberra"], **more)
