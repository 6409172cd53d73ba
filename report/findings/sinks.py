"""The finding about sink keys: which tokens without content the prompt's attention parks on."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.audience import audience_of
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.sink_keys import (
    LAYERS,
    LEAST_QUERIES,
    SinkKeys,
    least_share,
    sink_keys,
)
from attentropy.report.findings.finding import Observation, quoted
from attentropy.report.read.layer_words import layers_in_words
from attentropy.report.units import count, join_words, percent

_NAMED = 3  # sink keys, or texts of several, in one sentence


def observe_sinks(trace: Trace) -> Observation:
    """Return which keys are sinks, in which layers, and what they receive."""
    sinks = sink_keys(trace)
    if sinks is None:
        why = "the trace does not have the attention that each token receives"
        if "received" in trace and is_redacted(trace):
            why = "the text is redacted, so the tokens without content are unknown"
        return _not_measured(why)
    if trace.prompt_tokens < LEAST_QUERIES:
        return _not_measured(f"the prompt is too short (it needs at least {LEAST_QUERIES} tokens)")
    positions = sinks.named
    if not positions:
        limit = _limit(trace, 0, 0)
        share = np.where(np.isfinite(sinks.share), sinks.share, 0)
        text = (
            f"No attention sink: no token without content receives {percent(limit)} of the "
            f"attention in {LAYERS} layers or more."
        )
        return Observation(
            "sinks", text, "received", float(share[:, :1].max(initial=0)), "share", limit, 0,
            is_found=False, view="attention",
        )  # fmt: skip
    first = positions[0]
    strengths = np.where(sinks.is_sink[:, first], np.nan_to_num(sinks.share[:, first]), 0)
    layer = int(strengths.argmax())
    return Observation(
        "sinks", _sentence(trace, sinks, positions), "received", float(strengths[layer]), "share",
        _limit(trace, layer, first), len(positions), view="attention", layer=layer,
        position=first,
    )  # fmt: skip


def _limit(trace: Trace, layer: int, key: int) -> float:
    """Return the share from which on a key is a sink of a layer."""
    visible = trace["visible"][layer, : trace.prompt_tokens]
    return least_share(audience_of(visible, visible.size), key)


def _not_measured(why: str) -> Observation:
    text = f"Attention sinks were not measured: {why}."
    return Observation("sinks", text, "received", unit="share", is_found=False, view="attention")


def _sentence(trace: Trace, sinks: SinkKeys, positions: list[int]) -> str:
    """Return the sinks with their layers and shares; equal texts are put together."""
    texts: dict[str, list[int]] = {}
    for position in positions:
        texts.setdefault(trace.tokens[position], []).append(position)
    groups = list(texts.items())
    parts = [_group(trace, sinks, text, sorted(at)) for text, at in groups[:_NAMED]]
    parts[0] += " of the attention"
    if len(groups) > _NAMED:
        parts.append(count(sum(len(at) for _, at in groups[_NAMED:]), "other token"))
    return f"Attention {'sinks' if len(positions) > 1 else 'sink'}: {join_words(parts)}."


def _group(trace: Trace, sinks: SinkKeys, text: str, at: list[int]) -> str:
    """Return one text's sinks in words, which end with the shares."""
    is_sink = sinks.is_sink[:, at]
    shares = sinks.share[:, at][is_sink]
    entries = np.flatnonzero(is_sink.any(1))
    where = f"position {at[0]:,}"
    if len(at) > 1:
        where = f"{len(at):,} positions, first {at[0]:,}"
    low, high = percent(float(shares.min())), percent(float(shares.max()))
    shares_text = low if low == high else f"{low.removesuffix(' %')} to {high}"
    layers = layers_in_words(entries.tolist(), [str(int(layer)) for layer in trace["layer"]])
    return f"{quoted(text)} ({where}) in {layers} with {shares_text}"
