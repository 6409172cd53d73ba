"""The finding about sources: which parts of the prompt a word of the answer needs, as tested."""

from __future__ import annotations

import numpy as np

from attentropy.engine.sources.labels import HALF
from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation, quoted
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import Effect, TestedWord, quoted_part
from attentropy.report.units import count, equals_probability, join_words

_NAMED = 3
_LETTERS = 28


def observe_tested(trace: Trace) -> Observation | None:
    """Return what the headline's word needs, with its controls; None where nothing was tested."""
    sources = read_sources(trace)
    if sources is None:
        return None
    word = sources.main
    own = [one for one in word.sources if one.label == "source"]
    places = len(word.sources) - len(own)
    tested = count(sources.tested, "part")
    name = f"{quoted(word.text)} ({equals_probability(word.probability)})"
    if own:
        parts = [_part(word, one) for one in own[:_NAMED]]
        more = f" and {len(own) - _NAMED:,} more" if len(own) > _NAMED else ""
        text = f"{name} needs {len(own):,} of {tested} of the prompt tested: "
        text += f"{join_words(parts)}{more}."
    else:
        text = f"{name} needs none of the {tested} of the prompt tested"
        text += f"; {places:,} of them can replace each other." if places > 1 else "."
    left = sum(effect.label == "not tested" for effect in word.effects)
    if left:
        text += f" {count(left, 'part')} not tested."
    effects = [one.hidden for one in word.effects if np.isfinite(one.hidden)]
    return Observation(
        "tested", text + _against(word), "effect on ln p", min(effects, default=None), "nats",
        -HALF, sources.tested, bool(own), view="lens" if "lens_entropy" in trace else "attention",
        position=word.start, shows="entropy",
    )  # fmt: skip


def _part(word: TestedWord, one: Effect) -> str:
    """Return a source with the word's probability without it, and with its control hidden."""
    name = quoted_part(one.span.name, _LETTERS)
    amount = word.left(one.hidden)
    if not amount.endswith("nats"):
        amount = equals_probability(word.changed(one.hidden))
    text = f"{amount} without it"
    if np.isfinite(one.low) and np.isfinite(one.high):
        low, high = (word.left(end) for end in (one.low, one.high))
        spans = f"{count(one.span.draws, 'other part')} as long" if one.span.draws else "others"
        return f"{name} ({text}; {low} to {high} without {spans})"
    return f"{name} ({text}; no control)"


def _against(word: TestedWord) -> str:
    """Return which spans work against the word; "" for none."""
    against = [one for one in word.effects if one.label == "works against the word"]
    if not against:
        return ""
    names = join_words([quoted_part(one.span.name, _LETTERS) for one in against[:_NAMED]])
    more = f" and {len(against) - _NAMED:,} more" if len(against) > _NAMED else ""
    return f" {names}{more} {'works' if len(against) == 1 else 'work'} against it."
