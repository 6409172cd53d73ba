"""What the answer rests on, in sentences: only what was tested, with the probabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from attentropy.engine.sources.labels import HALF
from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import quoted
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import (
    Effect,
    Sources,
    TestedSpan,
    TestedWord,
    quoted_part,
)
from attentropy.report.text import for_sentence
from attentropy.report.units import count, join_words, probability

_SENTENCES, _WORDS, _SOURCES = 3, 4, 3  # about words, words that one of them names, their sources
_COLUMNS, _LONG_COLUMNS = 28, 40  # of a word and of a passage that a sentence quotes
_TESTED_BY_DEFAULT = 512  # tokens of a prompt up to which sources are tested unless asked not to
_ADVICE = re.compile(r'`test_sources="(\w+)"`')  # in a note


def verdict_sentences(trace: Trace) -> list[str]:
    """Return what the decisive words rest on, as sentences without full stops; [] if untested."""
    sources = read_sources(trace)
    if sources is None:
        return []
    return [*about_words(sources), *filter(None, (_template(sources), _origin(sources.main)))]


def source_sentences(sources: Sources | None, layers: Sequence[str]) -> str:
    """Return a sentence about each decisive word, and how it was tested.

    layers: the names of the layers, by entry.
    """
    if sources is None:
        return ""
    parts = count(sources.tested, "part")
    how = f"{parts} of the prompt, each hidden while the answer was read again"
    if sources.facts.get("how") == "remove":
        how += ", and each removed from the prompt, which was read again"
    texts = [*about_words(sources), _read_in(sources.main, layers), f"tested: {how}"]
    if sources.sinks:
        verb = f"{'is a sink' if sources.sinks == 1 else 'are sinks'}, which cannot be hidden"
        texts.append(f"{count(sources.sinks, 'part')} {verb}")
    if sources.untested:
        texts.append(f"{count(sources.untested, 'part')} not tested")
    texts += [_versus(sources), *_notes(sources)]
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in texts if one)


def untested(trace: Trace) -> str:
    """Return that the page of a long prompt could say more, and how to test it; "" otherwise."""
    if trace.sources is not None or trace.prompt_tokens <= _TESTED_BY_DEFAULT:
        return ""
    return "what the answer rests on was not tested; “--test-sources auto” tests it"


def about_words(sources: Sources) -> list[str]:
    """Return a sentence about each decisive word; words of one and the same source share one."""
    target = f"in the given text “{sources.target}”, " if sources.target else ""
    groups, texts = list(_groups(sources)), []
    shared = {one.span.index for one in sources.main.sources}
    for group in groups[:_SENTENCES]:
        text = rests_on(group[0]) if len(group) == 1 else _rest_on(group, _only(group[0]) in shared)
        texts.append(target + text)
    named = {word.index for group in groups[:_SENTENCES] for word in group[:_WORDS]}
    more = sum(word.index not in named for word in sources.decisive)
    if more:
        texts[-1] += f" ({count(more, 'more decisive word')} tested)"
    return texts


def _groups(sources: Sources) -> Iterator[list[TestedWord]]:
    """Yield the headline's word, then the others that have sources, by what these are."""
    yield [sources.main]
    groups: dict[tuple[int, int], list[TestedWord]] = {}
    for word in sources.decisive:
        if word is not sources.main and word.sources:
            only = _only(word)
            groups.setdefault((only, -1) if only >= 0 else (-1, word.index), []).append(word)
    yield from groups.values()


def _only(word: TestedWord) -> int:
    """Return the number of the one span that a word rests on; -1 where there are several."""
    own = word.sources
    return own[0].span.index if len(own) == 1 and own[0].label == "source" else -1


def _rest_on(words: Sequence[TestedWord], is_again: bool) -> str:
    """Return the one source of several words, with their probabilities where it is hidden."""
    named = words[:_WORDS]
    names = [f"{quoted(word.text)} ({probability(word.probability)})" for word in named]
    names += [f"{len(words) - _WORDS:,} more"] if len(words) > _WORDS else []
    amounts = join_words([word.left(word.sources[0].hidden) for word in named])
    span = span_name(named[0].sources[0].span)
    again = "too " if is_again else ""
    return f"{join_words(names)} rest on {span} {again}({amounts} when hidden)"


def rests_on(word: TestedWord) -> str:
    """Return what a word rests on, with its probability where that is hidden."""
    name = f"{quoted(word.text)} ({probability(word.probability)})"
    own = [one for one in word.sources if one.label == "source"]
    also = [one for one in word.sources if one.label == "also there"]
    if not own:
        if len(also) > 1:
            return f"{name} stands in more than one place: {_places(word, also)}"
        no_part = f"{name} rests on no single part of the prompt that was tested"
        return no_part + _also_there(word, also) + _besides(word)
    parts = [
        f"{span_name(one.span)} ({_when_hidden(word, one, own[:i])})"
        for i, one in enumerate(own[:_SOURCES])
    ]
    if len(own) > _SOURCES:
        parts.append(f"{len(own) - _SOURCES:,} more")
    more = _also_there(word, also) + _besides(word)
    return f"{name} rests on {join_words(parts)}{more}"


def _also_there(word: TestedWord, also: Sequence[Effect]) -> str:
    """Return where a word could come from as well, after a semicolon; "" for nowhere."""
    if not also:
        return ""
    is_text = all(one.span.role == "evidence" for one in also)
    verb = "also stands in" if is_text else "could also rest on"
    return f"; it {verb} {_places(word, also)}"


def _places(word: TestedWord, also: Sequence[Effect]) -> str:
    """Return the spans that could replace each other, with the word's probability without each."""
    names = [span_name(one.span) for one in also[:_SOURCES]]
    names += [f"{len(also) - _SOURCES:,} more"] if len(also) > _SOURCES else []
    amounts = join_words([word.left(one.hidden) for one in also[:_SOURCES]])
    return f"{join_words(names)} ({amounts} when {'one is ' if len(also) > 1 else ''}hidden)"


def _besides(word: TestedWord) -> str:
    """Return what reaches a word through other tokens, and what works against it."""
    texts = [""]
    through = [one for one in word.effects if one.label == "through other tokens"]
    if through := [one for one in through if np.isfinite(one.total)]:
        best = min(through, key=lambda one: one.total)
        amount = f"{word.left(best.total)} when hidden from them too"
        texts.append(_strongest(best, len(through), "act", f"through other tokens ({amount})"))
    if against := [one for one in word.effects if one.label == "works against the word"]:
        best = max(against, key=lambda one: one.hidden)
        amount = f"{word.left(best.hidden)} when hidden"
        texts.append(_strongest(best, len(against), "work", f"against it ({amount})"))
    return "; ".join(texts)


def _strongest(best: Effect, many: int, verb: str, rest: str) -> str:
    """Return what the strongest of several spans does, and how many others do so."""
    more = f" and {many - 1:,} more" if many > 1 else ""
    return f"{span_name(best.span)}{more} {verb}{'' if more else 's'} {rest}"


def _when_hidden(word: TestedWord, effect: Effect, before: Sequence[Effect]) -> str:
    """Return the word's probability without a source; what it is, where none `before` says it."""
    text = word.left(effect.hidden)
    if effect.has_copies:
        copies = "its copy" if _earlier_copies(word, effect.span) == 1 else "its copies"
        is_new = not any(one.has_copies for one in before)
        text += f" when hidden with {copies} in the answer" if is_new else ""
        return f"{text}; alone {word.left(effect.alone)}"
    return text if before else f"{text} when hidden"


def _earlier_copies(word: TestedWord, span: TestedSpan) -> int:
    """Return how many words before a word restate the span; a word may have several tokens."""
    places = {at for at in span.copies if at < word.start}
    return sum(at - 1 not in places for at in places)


def span_name(span: TestedSpan) -> str:
    """Return a span as a sentence names it: its words, or the name of the passage."""
    if span.is_named:
        kind = "passage" if span.role == "evidence" else "segment"
        return f"{kind} {quoted_part(span.id, _COLUMNS)}"
    if span.level not in ("message", "paragraph", "sentence"):
        return quoted_part(span.text, _COLUMNS)
    what = "question" if span.role == "asks" else span.level
    return f"the {what} {quoted_part(span.text, _LONG_COLUMNS)}"


def _read_in(word: TestedWord, layers: Sequence[str]) -> str:
    """Return in which layers the answer reads what a word rests on; "" where it has no source."""
    if word.sources and not any(one.has_layers for one in word.sources):
        return "the layers in which the answer reads its sources were not tested"
    own = [one for one in word.sources if one.reads is not None][:_SOURCES]
    parts = [f"{span_name(one.span)} in {layer_range(one.reads, layers)}" for one in own]
    return f"the answer reads {join_words(parts)}" if parts else ""


def layer_range(reads: tuple[int, int] | None, layers: Sequence[str]) -> str:
    """Return the layers between two entries as words; "" for none."""
    if reads is None:
        return ""
    first, last = (layers[entry] for entry in reads)
    return f"layer {first}" if first == last else f"layers {first}–{last}"


def _template(sources: Sources) -> str:
    """Return whether the template tokens are used; "" where that was not tested."""
    word = sources.main
    if not np.isfinite(word.template):
        return ""
    amount = word.left(word.template)
    if word.template < -HALF:
        return f"{quoted(word.text)} also needs the template tokens ({amount} without them)"
    users = [
        f"{quoted(one.text)} ({one.left(one.template)} without them)"
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
    amount = word.left(word.evidence)
    where = "the weights" if word.evidence > -HALF else "the passages"
    text = f"{quoted(word.text)} comes from {where}: {amount} with every passage hidden"
    enough = [one for one in word.effects if one.enough > -HALF]
    if not enough or where == "the weights":
        return text
    return f"{text}; {_sufficient(word, enough)}"


def _sufficient(word: TestedWord, enough: Sequence[Effect]) -> str:
    best = max(enough, key=lambda one: one.enough)
    others = f" (and {len(enough) - 1:,} more)" if len(enough) > 1 else ""
    amount = word.left(best.enough)
    return f"{span_name(best.span)} alone is enough{others}: {amount}"


def _versus(sources: Sources) -> str:
    """Return what speaks most for the answer and against the other text; "" without one."""
    if not sources.versus:
        return ""
    lead = f"ln p(answer) − ln p(“{sources.versus}”)"
    own = sorted(
        (span for span in sources.spans if span.versus < -HALF), key=lambda span: span.versus
    )
    if not own:
        return f"no part lowers {lead} by more than {HALF:.1f} nats"
    named = [(span_name(span), f"−{-span.versus:.2f} nats") for span in own[:_SOURCES]]
    (first, change), others = named[0], [f"hiding {name} by {other}" for name, other in named[1:]]
    return join_words([f"hiding {first} changes {lead} by {change}", *others])


def _notes(sources: Sources) -> list[str]:
    """Return what the test left out, and why, as sentences."""
    notes = sources.facts.get("notes")
    texts = [str(note) for note in notes[:4]] if isinstance(notes, list | tuple) else []
    return [
        for_sentence(_ADVICE.sub(r"“--test-sources \1”", text), 200).removesuffix(".")
        for text in texts
        if text
    ]
