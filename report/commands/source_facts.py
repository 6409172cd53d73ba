"""What JSON and `info` say of the sources of an answer."""

from __future__ import annotations

from typing import Any

import xarray as xr

from attentropy.engine.sources.table import source_table
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sources import completed

Facts = dict[str, Any]
_ATTRIBUTES = (
    "how", "level", "target", "versus", "floor", "noise", "draws", "seed", "passes",
    "predicted_seconds", "seconds", "not_tested", "notes",
)  # fmt: skip


def source_facts(trace: Trace) -> Facts:
    """Return how the sources were tested, and one row per span and decisive word.

    Nothing where the trace has no sources.
    """
    if trace.sources is None:
        return {}
    return {"sources": {**_attributes(trace.sources), "rows": source_rows(trace)}}


def source_counts(trace: Trace) -> Facts:
    """Return how the sources were tested, and how many spans and words there are."""
    if trace.sources is None:
        return {}
    sizes, decisive = trace.sources.sizes, int(trace.sources["word_decisive"].sum())
    counts = {"spans": sizes["span"], "words": sizes["word"], "decisive words": decisive}
    return {"sources": {**counts, **_attributes(trace.sources)}}


def source_rows(trace: Trace) -> list[Facts]:
    """Return one plain row per span and decisive word, the strongest effects of a word first."""
    if trace.sources is None:
        return []
    sources, prompt = completed(trace.sources), trace.prompt_tokens
    answer = [str(text) for text in sources["step_text"].values]
    return source_table(sources, [*trace.tokens[:prompt], *answer], prompt)


def _attributes(sources: xr.Dataset) -> Facts:
    return {
        name: sources.attrs[name] for name in _ATTRIBUTES if sources.attrs.get(name) is not None
    }
