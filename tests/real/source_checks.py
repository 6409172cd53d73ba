"""The judge's checks of sentences on what the words of an answer rest on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from real.evidence import Span
from real.source_rules import (
    is_clear_source,
    total_control,
    why_not_also_there,
    why_not_needed,
)
from real.tested import HALF, AnswerWord, Tested, largest_first
from real.verdict import Mistakes

P = r"((?:[<>] )?[\d.]*\d|[−+][\d.]+ nats)"  # a change where both are near 0
NAME = (
    r"(?:(the message|the paragraph|the sentence|the question|passage|segment) )?“([^”]*)”"
)  # fmt: skip
_WORD = rf"“([^”]*)” \({P}\)"
_ITEM = re.compile(
    rf"{NAME} \({P}(?: when hidden)?(?: with its cop(?:y|ies) in the answer)?(?:; alone {P})?\)"
)
_RESTS = re.compile(rf"{_WORD} rests on (.*)", re.DOTALL)
_SHARED = re.compile(
    rf"((?:“[^”]*” \([^)]*\)(?:, | and )?)+?)(?: and ([\d,]+) more)? rest on {NAME} (?:too )?"
    r"\(([^)]*) when hidden\)",
    re.DOTALL,
)
_SEVERAL = re.compile(
    rf"{_WORD} stands in more than one place: (.*) \((.*) when one is hidden\)", re.DOTALL
)
_ALSO = re.compile(
    r"; it (?:also stands in|could also rest on) (.*) \(([^()]*) when (?:one is )?hidden\)$",
    re.DOTALL,
)
_THROUGH = re.compile(
    rf"; {NAME}(?: and ([\d,]+) more)? acts? through other tokens "
    rf"\({P} when hidden from them too\)"
)
_AGAINST = re.compile(rf"; {NAME}(?: and ([\d,]+) more)? works? against it \({P} when hidden\)")


def number_of(text: str) -> int:
    """Return a number of things as it is written."""
    return int(text.replace(",", ""))


def check_probability(mistakes: Mistakes, name: str, written: str, logprob: float) -> None:
    """Check a probability as a page writes it, "< 0.001" and "> 0.9999" too."""
    own = math.exp(min(0.0, logprob))
    if written.startswith("<"):
        mistakes.claim(own < 5.5e-4, f"{name} is {own:.3g}")
    elif written.startswith(">"):
        mistakes.claim(own > 0.9999, f"{name} is {own:.6f}")
    else:
        mistakes.number(name, written, own)


def check_left(mistakes: Mistakes, name: str, written: str, effect: float, logprob: float) -> None:
    """Check what is left of a word after a change: its probability, or the change in nats."""
    if written.endswith(" nats"):
        mistakes.number(name, written[1:-5], abs(effect))
        mistakes.claim((effect < 0) == (written[0] == "−"), f"{name} changes by {effect:.2f}")
        mistakes.claim(math.exp(logprob) < 5.5e-4, f"p is {math.exp(logprob):.4f} without that")
    else:
        check_probability(mistakes, name, written, logprob + effect)


def for_each_word(
    name: str, tested: Tested, check: Callable[[AnswerWord, Mistakes], None]
) -> Mistakes:
    """Check a sentence on each word of the answer that it can mean; return the best reading."""
    options = []
    for word in tested.occurrences(name):
        mistakes = Mistakes()
        check(word, mistakes)
        options.append(mistakes)
    if options:
        return min(options, key=lambda one: len(one.all))
    nothing = Mistakes()
    nothing.claim(False, f"the answer has no word {name!r}")
    return nothing


def named_words(text: str) -> int:
    """Return how many words of the answer a sentence about sources names."""
    if match := _SHARED.match(text):
        return len(re.findall(_WORD, match[1]))
    return int(bool(_RESTS.match(text) or _SEVERAL.match(text)))


@dataclass
class _Said:
    """What a sentence says of a word: its sources, and other places; (kind, name, probability).

    alone: of each source, the probability with its copies visible, "" for none.
    """

    word: str
    probability: str
    sources: list[tuple[str, str, str]]
    places: list[tuple[str, str, str]]
    alone: list[str]
    more: int = 0


def _read(head: str, also: re.Match[str] | None) -> _Said | None:
    """Return what the beginning of a sentence says; None for another form."""
    places = _items(also[1], also[2]) if also else []
    more = _more(also[1]) if also else 0
    if match := _SEVERAL.fullmatch(head):
        return _Said(match[1], match[2], [], _items(match[3], match[4]), [], _more(match[3]))
    if match := _RESTS.fullmatch(head):
        matches = [] if match[3].startswith("no single part") else list(_ITEM.finditer(match[3]))
        items = [(one[1], one[2], one[3]) for one in matches]
        alone = [one[4] or "" for one in matches]
        return _Said(match[1], match[2], items, places, alone, more + _more(match[3]))
    return None


def _items(names: str, amounts: str) -> list[tuple[str, str, str]]:
    pairs = zip(re.findall(NAME, names), re.findall(P, amounts), strict=False)
    return [(kind, name, amount) for (kind, name), amount in pairs]


def _more(text: str) -> int:
    match = re.search(r"and ([\d,]+) more$", text)
    return number_of(match[1]) if match else 0


def judge_rests(text: str, tested: Tested) -> Mistakes | None:
    """Judge a sentence about what words rest on; None for a sentence of another form."""
    if match := _SHARED.fullmatch(text):
        return _judge_shared(match, tested)
    against = _AGAINST.search(text)
    text = text[: against.start()] if against else text
    through = _THROUGH.search(text)
    head = text[: through.start()] if through else text
    also = _ALSO.search(head)
    sentence = _read(head[: also.start()] if also else head, also)
    if sentence is None:
        return None

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        check_probability(mistakes, f"p({word.text})", sentence.probability, tested.of_word(word))
        own, places = (
            [span for item in items if (span := check_amount(mistakes, tested, word, *item))]
            for items in (sentence.sources, sentence.places)
        )
        for item, written in zip(sentence.sources, sentence.alone, strict=True):
            span = find_span(tested, word, *item)
            if span and written:
                effect = tested.effect(word, tested.alone(span.tokens))
                left = f"p without {item[1]!r} alone"
                check_left(mistakes, left, written, effect, tested.of_word(word))
        check_all(mistakes, tested, word, own, sentence.more, places)
        if places:
            tokens = {i for span in (*own, *places) for i in span.tokens}
            effect = tested.effect(word, tested.with_copies(tokens))
            mistakes.claim(effect < -HALF, f"all of them hidden, ln p changes by {effect:.2f}")
        if through:
            _check_through(mistakes, tested, word, through)
        if against:
            kind, name, _, written = against.groups()
            span = check_amount(mistakes, tested, word, kind, name, written)
            gain = tested.effect(word, tested.with_copies(span.tokens)) if span else 0.0
            mistakes.claim(gain > HALF, f"{name!r} changes ln p by {gain:.2f}")

    return for_each_word(sentence.word, tested, check)


def _judge_shared(match: re.Match[str], tested: Tested) -> Mistakes:
    """Judge a sentence about several words that rest on one span."""
    words, amounts = re.findall(_WORD, match[1]), re.findall(P, match[5])
    all_mistakes = Mistakes()
    all_mistakes.claim(len(words) == len(amounts), f"{len(amounts)} for {len(words)} words")
    for (name, written), amount in zip(words, amounts, strict=False):

        def check(
            word: AnswerWord, mistakes: Mistakes, written: str = written, amount: str = amount
        ) -> None:
            check_probability(mistakes, f"p({word.text})", written, tested.of_word(word))
            span = check_amount(mistakes, tested, word, match[3], match[4], amount)
            check_all(mistakes, tested, word, [span] if span else [], 0)

        one = for_each_word(name, tested, check)
        all_mistakes.all += one.all
        all_mistakes.numbers += one.numbers
    return all_mistakes


def find_span(
    tested: Tested, word: AnswerWord, kind: str, name: str, written: str, *, total: bool = False
) -> Span | None:
    """Return the span of a name; of several the one whose probability is nearest to the written."""
    value = float(written.strip("<> +").replace("−", "-").removesuffix(" nats"))

    def distance(span: Span) -> float:
        cuts = tested.total(span) if total else tested.with_copies(span.tokens)
        if written.endswith(" nats"):
            return abs(tested.effect(word, cuts) - value)
        return abs(math.exp(min(0.0, tested.of_word(word, cuts))) - value)

    return min(tested.named(name, kind), key=distance, default=None)


def check_amount(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, kind: str, name: str, written: str
) -> Span | None:
    """Check the probability without a span; return the span."""
    span = find_span(tested, word, kind, name, written)
    if span is None:
        mistakes.claim(False, f"no part {name!r} was tested")
        return None
    effect = tested.effect(word, tested.with_copies(span.tokens))
    check_left(mistakes, f"p without {name!r}", written, effect, tested.of_word(word))
    return span


def check_all(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, spans: Sequence[Span], more: int,
    places: Sequence[Span] = (),
) -> None:  # fmt: skip
    """Check that a word rests on the spans, the strongest first, and on no other.

    places: spans that could replace each other, or one of the sources.
    """
    for span in spans:
        reason = why_not_needed(tested, word, span)
        mistakes.claim(not reason, f"{tested.text(span)!r} is no source: {reason}")
    for span in places:
        others = [one for one in (*spans, *places) if one != span]
        reason = why_not_also_there(tested, word, span, others)
        mistakes.claim(not reason, f"{tested.text(span)!r} is no other place: {reason}")
    effects = [tested.effect(word, tested.with_copies(span.tokens)) for span in spans]
    mistakes.claim(largest_first(effects), "they are in another order")
    others = [
        span for span in tested.effects
        if not span.is_refined and span not in spans and is_clear_source(tested, word, span)
    ]  # fmt: skip
    names = [tested.text(one)[:40] for one in others]
    mistakes.claim(len(others) <= more, f"it also rests on {names}")


def _check_through(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, match: re.Match[str]
) -> None:
    """Check a span that acts on a word through other tokens alone."""
    span = find_span(tested, word, match[1], match[2], match[4], total=True)
    if span is None:
        mistakes.claim(False, f"no part {match[2]!r} was tested")
        return
    effect = tested.effect(word, tested.total(span))
    left = f"p without {match[2]!r} anywhere"
    check_left(mistakes, left, match[4], effect, tested.of_word(word))
    direct = tested.effect(word, tested.with_copies(span.tokens))
    mistakes.claim(effect < -HALF, f"{match[2]!r} changes ln p by {effect:.2f} in total")
    control = total_control(tested, word, span)
    is_low = len(control) < 5 or sum(one <= effect for one in control) <= len(control) / 2
    mistakes.claim(is_low, "most other runs as long do as much in total")
    mistakes.claim(
        direct >= -HALF or bool(why_not_needed(tested, word, span)), f"{match[2]!r} is a source"
    )
    mistakes.numbers.append(f"direct {direct:.2f}, total {effect:.2f}")
