"""Plausible sources for any trace, drawn from a seed: spans at two levels, words, every label."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sources import LABELS
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.units import starts_word

_FEWEST_NATS = np.log(2)
_STRONG = 8  # spans that have controls and total effects


def with_sources(trace: Trace, **options) -> Trace:
    """Return the trace with sources; options are those of `made_sources`."""
    return Trace(trace.dataset, made_sources(trace, **options))


def made_sources(
    trace: Trace, *, seed: int = 0, target: str | None = None, versus: str | None = None
) -> xr.Dataset:
    """Return sources for the trace's answer, or for a `target` that was not generated.

    With `versus` there are the effects on ln p(answer) - ln p(versus), too. Spans are the prompt's
    words, and its segments where there are any. Labels follow from the effects. A trace without an
    answer in its positions gets the words of `target`.
    """
    random = np.random.default_rng(seed)
    texts, ids, at = _steps(trace, target)
    words = _words(texts)
    spans = _spans(trace)
    s, t, w = len(spans["start"]), len(texts), len(words)
    direct = -np.abs(random.normal(0, 0.15, (s, t)))
    strong = random.permutation(s)[:_STRONG]
    direct[strong] -= random.exponential(2.5, (len(strong), t))
    direct[strong[-1:]] = np.abs(direct[strong[-1:]])  # works against the words
    is_sink = np.array([role == "sink" for role in spans["role"]])
    untested = is_sink | ((np.arange(s) % 11 == 10) & ~np.isin(np.arange(s), strong))
    direct[untested] = np.nan
    restated = np.isin(np.arange(s), strong[:3])[:, None]
    copies = direct * np.where(restated, 2.0, 1.0)
    total = np.full((s, t), np.nan)
    total[strong] = direct[strong] * 1.3
    enough = np.full((s, t), np.nan)
    low, high = np.full((s, w), np.nan), np.full((s, w), np.nan)
    low[strong], high[strong] = -0.3, 0.05
    labels = _labels(_per_word(copies, words), low, high, spans, untested)
    layers = np.unique(trace["layer"])
    depth = np.linspace(1, 0, layers.size)[None, :, None]
    is_source = (labels == LABELS.index("source")).any(1)
    enough[is_source] = -0.2
    by_layer = np.where(is_source[:, None, None], copies[:, None, :] * depth, np.nan)
    # No effect lifts a probability above 1.
    gains = [np.nan_to_num(copies).max(0), np.nan_to_num(total).max(0)]
    logprob = -np.maximum(random.exponential(0.4, t), np.maximum(*gains))
    data = {
        **{f"span_{k}": ("span", v) for k, v in spans.items()},
        "step_text": ("step", text_array(texts)), "step_ids": ("step", np.array(ids)),
        "step_position": ("step", np.array(at)),
        "word_start": ("word", np.array([a for a, _ in words])),
        "word_stop": ("word", np.array([b for _, b in words])),
        "word_decisive": ("word", (np.arange(w) % 3 != 2).astype(np.int32)),
        "logprob": ("step", logprob),
        "effect_direct": (("span", "step"), direct),
        "effect_with_copies": (("span", "step"), copies),
        "effect_copies": (("span", "step"), np.where(restated, direct / 10, np.nan)),
        "effect_total": (("span", "step"), total),
        "effect_remove": (("span", "step"), np.full((s, t), np.nan)),
        "effect_sufficient": (("span", "step"), enough),
        "effect_from_layer": (("span", "layer", "step"), by_layer),
        "effect_all_evidence": ("step", -random.exponential(3, t)),
        "effect_template": ("step", -random.exponential(0.2, t)),
        **{f"control_{k}low": (("span", "word"), low) for k in ("", "total_")},
        **{f"control_{k}high": (("span", "word"), high) for k in ("", "total_")},
        "control_draws": ("span", np.where(np.isin(np.arange(s), strong), 20, 0)),
        "attention_mass": ("span", np.where(is_sink, 0.4, random.uniform(0, 0.1, s))),
        "label": (("span", "word"), labels),
    }  # fmt: skip
    if versus is not None:
        data["effect_versus"] = ("span", 1.5 * copies.sum(1))
    attrs = {
        "how": "hide", "floor": 0.1, "noise": 1e-6, "draws": 20, "seed": seed, "passes": 12,
        "predicted_seconds": 1.5, "seconds": 1.4, "level": "word", "target": target,
        "versus": versus, "notes": [], "not_tested": int((untested & ~is_sink).sum()),
    }  # fmt: skip
    return xr.Dataset(data, {"layer": ("layer", layers)}, attrs)


def _steps(trace: Trace, target: str | None) -> tuple[list[str], list[int], list[int]]:
    """Return text, id and position (-1: none) of each token whose probability is tested."""
    start = trace.prompt_tokens
    at = [i for i in range(start, len(trace.tokens)) if not trace.tokens[i].startswith("<|")]
    if target is None and at:
        return [trace.tokens[i] for i in at], [int(trace["token_ids"][i]) for i in at], at
    texts = (target or "").split(" ")
    return [f" {text}" for text in texts], list(range(len(texts))), [-1] * len(texts)


def _words(texts: list[str]) -> list[tuple[int, int]]:
    starts = np.flatnonzero(starts_word(texts, ["generated"] * len(texts))).tolist()
    return list(pairwise([*starts, len(texts)]))


def _spans(trace: Trace) -> dict[str, np.ndarray]:
    """Return the spans: runs of equal segments or messages, then words and template tokens."""
    n, roles, tokens = trace.prompt_tokens, trace.roles, trace.tokens
    rows: list[tuple[int, int, str, str, str]] = []
    named = [str(name) for name in trace["segment"][:n]] if "segment" in trace else [""] * n
    for a, b in _runs(named):
        if named[a]:
            role = "asks" if named[a] == "question" else "evidence"
            rows.append((a, b, "segment", role, named[a]))
    starts = [*np.flatnonzero(starts_word(tokens[:n], roles[:n])).tolist(), n]
    for a, b in pairwise(starts):
        is_own = roles[a] == "content"
        role = ("asks" if b < n // 2 else "evidence") if is_own else "template"
        role = "sink" if a == 0 else role
        rows.append((a, b, "word" if is_own else "template", role, named[a] if is_own else ""))
    start, stop, level, role, names = zip(*rows, strict=True)
    return {
        "refined": np.array([own == "segment" for own in level], np.int8),
        "start": np.array(start), "stop": np.array(stop), "level": text_array(level),
        "role": text_array(role), "id": text_array(names),
    }  # fmt: skip


def _runs(values: list[str]) -> list[tuple[int, int]]:
    cuts = [i for i in range(1, len(values)) if values[i] != values[i - 1]]
    return list(zip([0, *cuts], [*cuts, len(values)], strict=True))


def _per_word(effects: np.ndarray, words: list[tuple[int, int]]) -> np.ndarray:
    return np.stack([effects[:, a:b].sum(1) for a, b in words], 1)


def _labels(effects, low, high, spans, untested) -> np.ndarray:
    labels = np.full(effects.shape, LABELS.index("no effect"))
    is_source = (effects < -_FEWEST_NATS) & (effects < low)
    labels[is_source] = LABELS.index("source")
    labels[(effects > _FEWEST_NATS) & (effects > high)] = LABELS.index("works against the word")
    rows = np.flatnonzero(is_source.any(1))
    labels[rows[1:3]] = np.where(
        is_source[rows[1:3]], LABELS.index("also there"), labels[rows[1:3]]
    )
    for number, label in enumerate(("through other tokens", "attended, no effect")):
        weak = np.flatnonzero((labels == LABELS.index("no effect")).all(1) & ~untested)
        if weak.size > number:
            labels[weak[number]] = LABELS.index(label)
    labels[untested] = LABELS.index("not tested")
    labels[np.array([role == "sink" for role in spans["role"]])] = LABELS.index("sink")
    return labels.astype(np.int8)
