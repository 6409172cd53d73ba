"""The evidence below a headline: what the answer rests on, and from which layer the lens says it.

Where nothing was tested, the row that says it shows where it looked.
"""

from __future__ import annotations

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report.content.source_words import untested, verdict_sentences
from attentropy.report.findings.finding import layer_name, quoted
from attentropy.report.findings.settled import Settled, settled
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.looked_at import LookedAt, LookedWord, looked_at
from attentropy.report.units import count, join_words, percent, probability

_WORD = 24  # columns that a word of a sentence takes


def evidence(trace: Trace) -> str:
    """Return the evidence in one line; "" where the trace holds none."""
    tested = verdict_sentences(trace)
    sentences = (*tested, _of_lens(trace))
    if not tested:
        sentences = (_of_lens(trace), _of_attention(trace), untested(trace))
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in sentences if one)


def _of_lens(trace: Trace) -> str:
    """Return from which layer on it is the lens's top token, and whether that can be read."""
    place = settled(trace)
    if place is None:
        return ""
    token = quoted(place.text.strip(" ") or place.text, _WORD)
    last = layer_name(trace, place.entries[-1])
    if place.first is None:
        return f"{token} is not the lens's top token in {last}, so it cannot say when it settled"
    first = layer_name(trace, place.first)
    onward = f"from {first} onward"
    if place.first == place.entries[-1]:
        number = last.removeprefix("layer ")
        onward = f"only in the last layer ({number})" if place.has_last else f"only in {last}"
    if place.first == place.entries[0] and len(place.entries) > 1:
        value = probability(float(place.probabilities[place.first]))
        onward = f"in every layer read (p = {value} in {first})"
    text = f"{token} is the lens's top token {onward}"
    return text + _readable(trace, place)


def _readable(trace: Trace, place: Settled) -> str:
    """Return how far the lens can be read in these layers, as words after the sentence."""
    assert place.first is not None
    if lens_skill(trace) is None:
        return " (how far the lens can be read was not measured)"
    if place.readable is None:
        return ", but the lens cannot be read there, so it cannot say when it settled"
    start = layer_name(trace, place.readable)
    if place.readable > place.first:
        return f", but can be read only from {start} onward"
    before = [i for i in place.entries if i < place.readable]
    if before and not place.is_readable[before].any():
        return f"; the lens cannot be read before {start}"
    return ""


def _of_attention(trace: Trace) -> str:
    """Return which content words the row that says it attends to most."""
    looked = looked_at(trace)
    if looked is None:
        return ""
    answer = read_answer(trace)
    word = answer.decisive.word if answer is not None and answer.decisive is not None else ""
    row = f"the row that says {quoted(word, _WORD)}" if word else "the last row of the prompt"
    named = looked.named
    if not named:
        return f"{row} attends to no content word in particular ({_where(looked, ())})"
    words = join_words([quoted(one.text, _WORD) for one in named])
    return f"{row} attends most to {words} ({_where(looked, named)})"


def _where(looked: LookedAt, named: tuple[LookedWord, ...]) -> str:
    """Return over which layers that is, and how much of what each word receives."""
    low, high = looked.layers
    layers = f"layer {low}" if low == high else f"layers {low}–{high}"
    if not named:
        return layers
    if named[0].weight is None:
        amounts = join_words([f"{one.heads:,}" for one in named])
        return f"top key of {amounts} of {count(looked.heads, 'head')} in {layers}"
    amounts = join_words([percent(one.weight or 0.0) for one in named])
    return f"{amounts} of its attention in {layers}"
