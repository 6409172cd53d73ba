"""What `info` says of the use of a trace's context, as JSON and for people."""

from __future__ import annotations

from typing import Any

from attentropy.engine.trace.context import SHARES
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.context_tables import HeadWindow, head_windows
from attentropy.report.findings.context import BOUND, context_sentences, reach_words
from attentropy.report.units import count, percent

Facts = dict[str, Any]
_HEADS = 8  # that people read


def context_facts(trace: Trace) -> Facts:
    """Return the windows of all heads and the cache that they leave; nothing without them."""
    use = trace.context_use()
    if use is None:
        return {}
    caches = {share: use.cache(share) for share in SHARES}
    whole = caches[SHARES[0]]
    facts: Facts = {
        "tokens": use.tokens,
        "heads": use.heads,
        "far_from_tokens": use.half,
        "far_heads": int(use.is_far().sum()),
        "cache_bytes": None if whole is None else whole.full,
    }
    for share, cache in caches.items():
        facts[f"cache_bytes_{_name(share)}"] = None if cache is None else cache.windowed
    facts["windows"] = [_window(one) for one in head_windows(use)]
    return {"context": facts}


def context_lines(trace: Trace) -> Facts:
    """Return the same for people: sentences, and the heads with the largest windows."""
    use = trace.context_use()
    if use is None:
        return {}
    result, *others = context_sentences(use)
    shown = head_windows(use)[:_HEADS]
    heads = {f"layer {one.layer} head {one.head}": _words(one) for one in shown}
    about = {"heads": result, "cache": " ".join([*others, BOUND]), "means": reach_words(use)}
    return {"context": about | heads}


def _window(one: HeadWindow) -> Facts:
    facts: Facts = {"layer": one.layer, "head": one.head, "first_keys": round(one.first_keys, 6)}
    for share, size, beyond in zip(SHARES, one.windows, one.beyond, strict=True):
        facts[f"window_{_name(share)}"] = size
        facts[f"queries_beyond_{_name(share)}"] = round(beyond, 6)
    return facts


def _words(one: HeadWindow) -> str:
    near, far = one.windows
    sees = percent(one.beyond[0]) if one.beyond[0] else "none"
    return (
        f"{count(near, 'token')} hold {percent(SHARES[0])} ({sees} of the queries see further), "
        f"{far:,} hold {percent(SHARES[1])}"
    )


def _name(share: float) -> int:
    return round(100 * share)
