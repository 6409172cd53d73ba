"""Messages and segments of a trace: what the page says of each, and of the rest of the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.trace.answer_attention import answer_attention
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sink_keys import sink_keys
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.engine.trace.units import Units, aggregate, units_of
from attentropy.report import planes
from attentropy.report.read.curves import Curve
from attentropy.report.text import for_sentence

KINDS = ("message", "segment")
REST, ANSWER = "template and other text", "the answer itself"
SINKS = "sink keys"
_PANELS = 8
_STEP = 0.05  # to which the panels' common end is rounded up


@dataclass(frozen=True)
class UnitRow:
    """One message or segment, the `REST` of the prompt, the `ANSWER`, or the `SINKS`.

    Entropies and surprisal are means over its tokens in nats, `lens_entropy` that of the last layer
    read; `mass` is the share of the answer's attention, the mean over layers and heads, without
    what the sink keys among them receive. NaN where the trace does not have it.
    """

    label: str
    text: str
    tokens: int
    surprisal: float
    lens_entropy: float
    entropy: float
    mass: float


@dataclass(frozen=True)
class UnitRows:
    """All rows of one kind of unit, and the answer's attention to each by layer."""

    kind: str
    rows: tuple[UnitRow, ...]
    curves: tuple[Curve, ...]


def unit_rows(trace: Trace, attention: planes.AttentionPlanes | None) -> list[UnitRows]:
    """Return what the trace has of its messages, if there are two or more, and of its segments."""
    read = []
    for kind in KINDS:
        if kind in trace:
            units = units_of(trace, kind)
            if len(units.names) > (kind == "message"):
                read.append(_read(trace, attention, kind, units))
    return read


def _read(
    trace: Trace, attention: planes.AttentionPlanes | None, kind: str, own: Units
) -> UnitRows:
    units = _with_the_rest(trace, own)
    n = len(units.names)
    missing = np.full(n, np.nan)
    surprisal, lens, entropy = missing, missing, missing
    if TOKEN_LOGPROB in trace:
        surprisal = aggregate(-trace[TOKEN_LOGPROB].astype(np.float64), units)[1]
    if "lens_entropy" in trace:
        values = trace.lens("lens_entropy")
        measured = np.flatnonzero(np.isfinite(values).any(1))
        if measured.size:
            lens = aggregate(values[measured[-1]].astype(np.float64), units)[1]
    if attention is not None:
        by_layer = aggregate(attention.mean.astype(np.float64), units)[1]
        has_value = np.isfinite(by_layer)
        entropy = np.where(has_value, by_layer, 0).sum(0) / np.maximum(has_value.sum(0), 1)
        entropy = np.where(has_value.any(0), entropy, np.nan)
    of_masses = _with_sinks_apart(trace, units)
    answer = answer_attention(trace, of_masses.numbers, len(of_masses.names))
    masses = np.full(len(of_masses.names), np.nan)
    if answer is not None:
        masses = _mean(answer.masses.reshape(-1, masses.size))
    texts = _texts(trace, units)
    labels = [f"message {name}" if kind == "message" else name for name in own.names]
    labels = [for_sentence(name, 40) for name in [*labels, *units.names[len(own.names) :]]]
    starts = [for_sentence(text.strip(), 24) for text in texts]
    rows = tuple(
        UnitRow(
            labels[i],
            for_sentence(texts[i].strip(), 32),
            int(units.tokens[i]),
            *(float(v[i]) for v in values),
        )
        for values in [(surprisal, lens, entropy, masses)]
        for i in range(n)
    )
    if answer is not None and masses.size > n:
        sinks = int(of_masses.tokens[n])
        rows += (UnitRow(SINKS, "", sinks, np.nan, np.nan, np.nan, float(masses[n])),)
        labels, starts = [*labels, SINKS], [*starts, ""]
    titles = [f"{name}: {start}" if kind == "message" and start and name not in (REST, ANSWER)
              else name for name, start in zip(labels, starts, strict=True)]  # fmt: skip
    curves = () if answer is None else tuple(_curves(trace, of_masses, titles, kind, answer.masses))
    return UnitRows(kind, rows, curves)


def _with_the_rest(trace: Trace, own: Units) -> Units:
    """Return the units, and after them the rest of the prompt and the answer, if there are any."""
    numbers, names = own.numbers.copy(), list(own.names)
    is_answer = np.arange(numbers.size) >= trace.prompt_tokens
    for name, where in ((REST, (numbers < 0) & ~is_answer), (ANSWER, is_answer)):
        if where.any():
            numbers[where] = len(names)
            names.append(name)
    return Units(numbers, names)


def _with_sinks_apart(trace: Trace, units: Units) -> Units:
    """Return the units without the prompt's sink keys, which are one more unit after them.

    Attention on a sink key is parked there, and says nothing of the text around it.
    """
    sinks = sink_keys(trace)
    if sinks is None or not sinks.named:
        return units
    numbers = units.numbers.copy()
    numbers[sinks.named] = len(units.names)
    return Units(numbers, [*units.names, SINKS])


def _texts(trace: Trace, units: Units) -> list[str]:
    """Return the text of each unit, "" for the rest of the prompt: its tokens stand apart."""
    order, starts = units.members()
    tokens = trace.tokens
    parts = np.split(order, starts[1:])
    texts = ["".join(tokens[i] for i in part[:200]) for part in parts]
    return ["" if name == REST else text for name, text in zip(units.names, texts, strict=True)]


def _curves(
    trace: Trace, units: Units, labels: list[str], kind: str, masses: np.ndarray
) -> Iterator[Curve]:
    """Yield the answer's attention to each unit by layer: mean, range of heads, uniform rows."""
    mean = _mean(masses.swapaxes(0, 1))
    uniform = _uniform(trace, units)
    several = masses.shape[1] > 1
    is_measured = np.isfinite(mean)
    low = np.where(is_measured, np.nanmin(np.nan_to_num(masses, nan=np.inf), 1), np.nan)
    high = np.where(is_measured, np.nanmax(np.nan_to_num(masses, nan=-np.inf), 1), np.nan)
    highest = np.nanmax(high if several else mean, initial=0.0)
    if uniform is not None:
        highest = max(highest, uniform.max())
    top = min(1.0, float(np.ceil(highest / _STEP) * _STEP)) or 1.0
    order = np.argsort(-np.nan_to_num(_mean(mean)), kind="stable")[:_PANELS]
    for i in sorted(order.tolist()):
        if is_measured[:, i].any():
            line = None if uniform is None else np.where(is_measured[:, i], uniform[i], np.nan)
            ends: dict[str, Any] = {"low": low[:, i], "high": high[:, i]} if several else {}
            yield Curve(f"{kind}{i}", labels[i], mean[:, i], uniform=line, top=top, **ends)


def _uniform(trace: Trace, units: Units) -> np.ndarray | None:
    """Return what rows of equal weights would give each unit, the mean over the answer's tokens.

    None where some of them do not see all tokens before them.
    """
    n, prompt = len(trace.tokens), trace.prompt_tokens
    keys = np.arange(prompt, n) + 1
    if "visible" not in trace or not keys.size or (trace["visible"][:, prompt:] != keys).any():
        return None
    last = units.numbers[-1]  # the answer itself, of which a token sees what is before it
    shares = units.tokens[:, None] / keys
    shares[last] = (keys - prompt) / keys
    mean: np.ndarray = shares.mean(1)
    return mean


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean along the first axis of what has a value; NaN where nothing has."""
    has_value = np.isfinite(values)
    total = np.where(has_value, values, 0).sum(0)
    mean: np.ndarray = np.where(has_value.any(0), total / np.maximum(has_value.sum(0), 1), np.nan)
    return mean
