"""Sink keys: tokens without content that receive much of a layer's attention.

Attention parks on them (arXiv 2309.17453, 2410.10781). Which keys they are follows from what each
key receives, so traces that do not name them are judged too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.audience import Audience, audience_of
from attentropy.engine.trace.content_words import content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.types import Array

SHARE = 0.2  # of a layer's attention, over the queries that see the key
LEAST_QUERIES = 8
LAYERS = 2  # in which a key has to be a sink for it to be named
_TIMES_UNIFORM = 2  # at 8 tokens a uniform row gives the first key 0.34


def least_share(audience: Audience, key: int) -> float:
    """Return the share of a layer's attention from which on a key may be a sink of it.

    It is more than `SHARE` for an early key of a short prompt, which uniform attention gives much.
    """
    uniform = audience.uniform[key] / max(audience.queries[key], 1)
    return max(SHARE, _TIMES_UNIFORM * float(uniform))


def may_be_sinks(tokens: list[str], roles: list[str]) -> Array:
    """Return which tokens may be sink keys, [N] bool: the first, and those of no content word."""
    is_possible = np.array([not key for key in content_keys(tokens, roles)], bool)
    is_possible[:1] = True
    return is_possible


def sinks_of_layer(received: Array, audience: Audience, is_possible: Array) -> tuple[Array, Array]:
    """Return which keys are sinks of a layer, [key] bool, and the share that each receives.

    received: Σ of the weights over the queries, as the mean over heads, [key]. The share is the
    mean over the queries that see the key, NaN where no query does.
    """
    queries = audience.queries
    most = queries.max(initial=0)
    n = np.where(queries > 0, queries, np.nan)
    share, uniform = np.minimum(received / n, 1.0), audience.uniform / n
    with np.errstate(invalid="ignore"):
        is_sink = (share >= SHARE) & (share >= _TIMES_UNIFORM * uniform)
    is_sink &= is_possible & (queries >= max(LEAST_QUERIES, most / 10))
    return is_sink, share


@dataclass(frozen=True)
class SinkKeys:
    """The sink keys of a prompt: by layer, and the share of a layer's attention that each receives.

    is_sink and share: [layer, position]; a layer without what each key receives has NaN.
    """

    is_sink: Array
    share: Array

    @property
    def named(self) -> list[int]:
        """The positions that are sinks in at least two layers, the strongest first."""
        layers = self.is_sink.sum(0)
        strength = np.where(self.is_sink, np.nan_to_num(self.share), 0).sum(0)
        positions = np.flatnonzero(layers >= min(LAYERS, len(self.is_sink)))
        return [int(at) for at in positions[np.argsort(-strength[positions], kind="stable")]]


@once_per_trace
def sink_keys(trace: Trace) -> SinkKeys | None:
    """Return the sink keys of a trace's prompt; None where they cannot be known.

    They are those that the run found. An older trace is judged by what each key receives, unless it
    is redacted: then nothing says which tokens have content.
    """
    if any(name not in trace for name in ("received", "visible")):
        return None
    prompt = trace.prompt_tokens
    received = trace["received"][..., :prompt].astype(np.float64)
    if not np.isfinite(received).any():
        return None
    received = received.mean(1)
    visible = trace["visible"][:, :prompt]
    has_own = "sink_keys" in trace
    if not has_own and is_redacted(trace):
        return None
    is_possible = np.ones(prompt, bool)
    if not has_own:
        is_possible = may_be_sinks(trace.tokens[:prompt], trace.roles[:prompt])
    layers = [
        sinks_of_layer(mass, audience_of(counts, prompt), is_possible)
        for mass, counts in zip(received, visible, strict=True)
    ]
    is_sink, share = (np.stack(values) for values in zip(*layers, strict=True))
    if has_own:
        is_sink = trace["sink_keys"][:, :prompt] > 0
    for values in (is_sink, share):
        values.flags.writeable = False
    return SinkKeys(is_sink, share)


def visible_sinks(is_sink: Array, visible: Array) -> Array:
    """Return how many of a layer's sink keys each query sees, [query].

    is_sink [key] bool; visible: the number of keys that each query sees, as in `audience_of`.
    """
    counts = np.asarray(visible, np.int64)
    before = np.concatenate([[0], np.cumsum(is_sink)])
    first = np.maximum(np.arange(counts.size) - counts + 1, 0)
    first = np.minimum(first, len(is_sink))
    return np.asarray(before[np.minimum(first + counts, len(is_sink))] - before[first])
