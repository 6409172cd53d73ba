"""The finding about sources: which parts of the prompt a word of the answer needs, as tested."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation, quoted
from attentropy.report.read.sources import HALF, Effect, Sources, TestedWord, read_sources
from attentropy.report.units import count, join_words, probability

_NAMED = 3
_LETTERS = 28


def observe_tested(trace: Trace) -> Observation | None:
    """Return what the headline's word needs, with its controls; None where nothing was tested."""
    sources = read_sources(trace)
    if sources is None:
        return None
    word = sources.main
    own = word.sources
    tested = count(sources.tested, "part")
    name = f"{quoted(word.text)} (p = {probability(word.probability)})"
    if own:
        parts = [_part(word, one) for one in own[:_NAMED]]
        more = f" and {len(own) - _NAMED:,} more" if len(own) > _NAMED else ""
        text = f"{name} needs {len(own):,} of {tested} of the prompt tested: {join_words(parts)}{more}."
    else:
        text = f"{name} needs none of the {tested} of the prompt tested."
    left = sum(effect.label == "not tested" for effect in word.effects)
    if left:
        text += f" {count(left, 'part')} not tested."
    effects = [one.hidden for one in word.effects if np.isfinite(one.hidden)]
    return Observation(
        "tested", text + _against(sources, word), "effect on ln p", min(effects, default=None), "nats", -HALF,
        sources.tested, bool(own), view="lens" if "lens_entropy" in trace else "attention",
        position=word.start, shows="entropy",
    )  # fmt: skip


def _part(word: TestedWord, one: Effect) -> str:
    """Return a source with the word's probability without it, and with its control hidden."""
    name = quoted(one.span.id or one.span.text, _LETTERS)
    text = f"p = {probability(word.changed(one.hidden))} without it"
    if np.isfinite(one.low) and np.isfinite(one.high):
        low, high = (probability(word.changed(end)) for end in (one.low, one.high))
        spans = f"{count(one.span.draws, 'other part')} as long" if one.span.draws else "others"
        return f"{name} ({text}; {low} to {high} without {spans})"
    return f"{name} ({text}; no control)"


def _against(sources: Sources, word: TestedWord) -> str:
    """Return which spans work against the word; "" for none."""
    names = [quoted(e.span.id or e.span.text, _LETTERS) for e in word.effects if e.label == "works against"]
    if not names:
        return ""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" {join_words(names[:_NAMED])}{more} {'works' if len(names) == 1 else 'work'} against it."
