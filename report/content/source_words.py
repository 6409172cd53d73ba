"""What the answer rests on, in sentences: only what was tested, with the probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import quoted
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import (
    HALF,
    Effect,
    Sources,
    TestedSpan,
    TestedWord,
    quoted_part,
)
from attentropy.report.units import count, join_words, probability

_WORDS, _SOURCES = 3, 3  # that a sentence names
_LETTERS = 28  # of a span that a sentence quotes
_TESTED_BY_DEFAULT = 512  # tokens of a prompt up to which sources are tested unless asked not to


def verdict_sentences(trace: Trace) -> list[str]:
    """Return what the decisive words rest on, as sentences without full stops; [] if untested."""
    sources = read_sources(trace)
    if sources is None:
        return []
    words = _first_words(sources)
    texts = [_of_target(sources) + rests_on(word) for word in words]
    if len(sources.decisive) > len(words):
        texts[-1] += f"; {len(sources.decisive) - len(words):,} more words in the table"
    return [*texts, *filter(None, (_template(sources), _origin(sources.main)))]


def source_sentences(sources: Sources | None) -> str:
    """Return a sentence about each decisive word and one about how it was tested."""
    if sources is None:
        return ""
    texts = [_of_target(sources) + rests_on(word) for word in _first_words(sources)]
    how = "the prompt was read again without it" if sources.facts.get("how") == "remove" else (
        "the answer was read again with it hidden"
    )  # fmt: skip
    texts.append(f"tested: {how}, for {count(sources.tested, 'part')} of the prompt")
    left = len(sources.spans) - sources.tested
    if left > 0:
        texts.append(f"{count(left, 'part')} not tested")
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in texts)


def untested(trace: Trace) -> str:
    """Return that the page of a long prompt could say more, and how to test it; "" otherwise."""
    if trace.sources is not None or trace.prompt_tokens <= _TESTED_BY_DEFAULT:
        return ""
    return "what the answer rests on was not tested; “--test-sources” tests it"


def _of_target(sources: Sources) -> str:
    """Return that a given text was tested and not the answer, as the beginning of a sentence."""
    return f"in the given text “{sources.target}”, " if sources.target else ""


def _first_words(sources: Sources) -> list[TestedWord]:
    """Return the decisive words that a sentence names, the headline's first."""
    others = [word for word in sources.decisive if word is not sources.main and word.sources]
    return [sources.main, *others][:_WORDS]


def rests_on(word: TestedWord) -> str:
    """Return what a word rests on, with its probability where that is hidden."""
    name = f"{quoted(word.text)} ({probability(word.probability)})"
    own = word.sources
    if not own:
        no_part = f"{name} rests on no single part of the prompt that was tested"
        return no_part + _through_others(word)
    if all(one.label == "also there" for one in own):
        names = join_words([span_name(one.span) for one in own[:_SOURCES]])
        amounts = join_words([probability(word.changed(one.hidden)) for one in own[:_SOURCES]])
        return f"{name} stands in more than one place: {names} ({amounts} when one is hidden)"
    parts = [
        f"{span_name(one.span)} ({_when_hidden(word, one, is_first=not i)})"
        for i, one in enumerate(own[:_SOURCES])
    ]
    if len(own) > _SOURCES:
        parts.append(f"{len(own) - _SOURCES:,} more")
    return f"{name} rests on {join_words(parts)}{_through_others(word)}"


def _through_others(word: TestedWord) -> str:
    """Return what reaches a word through other tokens alone, after a semicolon; "" for nothing."""
    own = [one for one in word.effects if one.label == "through other tokens"]
    own = [one for one in own if np.isfinite(one.total)]
    if not own:
        return ""
    best = min(own, key=lambda one: one.total)
    amount = probability(word.changed(best.total))
    more = f" and {len(own) - 1:,} more" if len(own) > 1 else ""
    verb = "act" if more else "acts"
    name = span_name(best.span)
    return f"; {name}{more} {verb} through other tokens ({amount} when hidden from them too)"


def _when_hidden(word: TestedWord, effect: Effect, *, is_first: bool) -> str:
    """Return the word's probability without a source; the first one says what the numbers are."""
    text = probability(word.changed(effect.hidden))
    if effect.has_copies:
        text += " when hidden with its copy in the answer" if is_first else ""
        return f"{text}; alone {probability(word.changed(effect.alone))}"
    return f"{text} when hidden" if is_first else text


def span_name(span: TestedSpan) -> str:
    """Return a span as a sentence names it: its words, or the name of the passage."""
    if span.name == span.id:
        kind = "passage" if span.role == "evidence" else "segment"
        return f"{kind} {quoted_part(span.id, _LETTERS)}"
    what = f"the {span.level} " if span.level in ("message", "paragraph", "sentence") else ""
    return f"{what}{quoted_part(span.text, _LETTERS)}"


def _template(sources: Sources) -> str:
    """Return whether the template tokens are used; "" where that was not tested."""
    word = sources.main
    if not np.isfinite(word.template):
        return ""
    amount = probability(word.changed(word.template))
    if word.template < -HALF:
        return f"{quoted(word.text)} also needs the template tokens ({amount} without them)"
    users = [
        f"{quoted(one.text)} ({probability(one.changed(one.template))} without them)"
        for one in sources.words if one.template < -HALF
    ]  # fmt: skip
    if users:
        more = f" and {count(len(users) - 1, 'other word')}" if len(users) > 1 else ""
        name = f"{quoted(word.text)} ({amount})"
        return f"the template tokens are used for {users[0]}{more}, not for {name}"
    return f"the template tokens are not needed for {quoted(word.text)} ({amount} without them)"


def _origin(word: TestedWord) -> str:
    """Return whether a word comes from the weights or from the passages; "" without passages."""
    if not np.isfinite(word.evidence):
        return ""
    amount = probability(word.changed(word.evidence))
    where = "the weights" if word.evidence > -HALF else "the passages"
    text = f"{quoted(word.text)} comes from {where}: {amount} with every passage hidden"
    enough = [one for one in word.effects if one.enough > -HALF]
    if not enough or where == "the weights":
        return text
    return f"{text}; {_sufficient(word, enough)}"


def _sufficient(word: TestedWord, enough: Sequence[Effect]) -> str:
    best = max(enough, key=lambda one: one.enough)
    others = f" (and {len(enough) - 1:,} more)" if len(enough) > 1 else ""
    amount = probability(word.changed(best.enough))
    return f"{span_name(best.span)} alone is enough{others}: {amount}"
