"""The judge's checks of what a report says the answer rests on: the finding and the sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from real.evidence import Evidence, Span
from real.rules import decisive
from real.source_rules import (
    is_clear_source,
    total_control,
    why_not_also_there,
    why_not_needed,
)
from real.tested import HALF, AnswerWord, Tested, is_cut, largest_first, tested_of
from real.verdict import Check, Finding, Mistakes, Verdict

P = r"((?:[<>] )?[\d.]*\d)"
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
_THROUGH = re.compile(
    rf"; {NAME}(?: and ([\d,]+) more)? acts? through other tokens "
    rf"\({P} when hidden from them too\)"
)
_NEEDS = re.compile(
    rf"“([^”]*)” \(p =? ?{P}\) needs (none of the|[\d,]+ of) ([\d,]+) parts? of the prompt tested"
)
_NEEDED = re.compile(
    rf"“([^”]*)” \(p =? ?{P} without it; (?:{P} to {P} without (?:([\d,]+) other parts? as long|"
    rf"others)|no control)\)"
)
_AGAINST = re.compile(
    rf" ((?:{NAME}(?:, | and )?)+)(?: and ([\d,]+) more)? works? against it\.$"
)  # fmt: skip


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


def judge_rests(text: str, tested: Tested) -> Mistakes | None:
    """Judge a sentence about what words rest on; None for a sentence of another form."""
    if match := _SHARED.fullmatch(text):
        return _judge_shared(match, tested)
    through = _THROUGH.search(text)
    head = text[: through.start()] if through else text
    if match := _SEVERAL.fullmatch(head):
        kinds = re.findall(NAME, match[3])
        amounts = re.findall(P, match[4])
        items = [(*one, amount) for one, amount in zip(kinds, amounts, strict=False)]
        more, alone = 0, list[str]()
    elif match := _RESTS.fullmatch(head):
        found = [] if match[3].startswith("no single part") else list(_ITEM.finditer(match[3]))
        items = [(one[1], one[2], one[3]) for one in found]
        alone = [one[4] or "" for one in found]
        rest = re.search(r"and ([\d,]+) more$", match[3])
        more = number_of(rest[1]) if rest else 0
    else:
        return None
    is_several = bool(_SEVERAL.fullmatch(head))

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        check_probability(mistakes, f"p({word.text})", match[2], tested.of_word(word))
        spans = [_check_amount(mistakes, tested, word, *item) for item in items]
        own = [span for span in spans if span]
        for span, written in zip(spans, alone, strict=False):
            if span and written:
                logprob = tested.of_word(word, tested.alone(span.tokens))
                check_probability(mistakes, f"p without {span.tokens} alone", written, logprob)
        _check_all(mistakes, tested, word, own, more)
        if is_several:
            tokens = {i for span in own for i in span.tokens}
            effect = tested.effect(word, tested.with_copies(tokens))
            mistakes.claim(effect < -HALF, f"all of them hidden, ln p changes by {effect:.2f}")
        if through:
            _check_through(mistakes, tested, word, through)

    return for_each_word(match[1], tested, check)


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
            span = _check_amount(mistakes, tested, word, match[3], match[4], amount)
            _check_all(mistakes, tested, word, [span] if span else [], 0, only_needed=True)

        one = for_each_word(name, tested, check)
        all_mistakes.all += one.all
        all_mistakes.numbers += one.numbers
    return all_mistakes


def find_span(
    tested: Tested, word: AnswerWord, kind: str, name: str, written: str, *, total: bool = False
) -> Span | None:
    """Return the span of a name; of several the one whose probability is nearest to the written."""
    value = float(written.strip("<> "))

    def distance(span: Span) -> float:
        cuts = tested.total(span) if total else tested.with_copies(span.tokens)
        return abs(math.exp(min(0.0, tested.of_word(word, cuts))) - value)

    return min(tested.named(name, kind), key=distance, default=None)


def _check_amount(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, kind: str, name: str, written: str
) -> Span | None:
    """Check the probability without a span; return the span."""
    span = find_span(tested, word, kind, name, written)
    if span is None:
        mistakes.claim(False, f"no part {name!r} was tested")
        return None
    logprob = tested.of_word(word, tested.with_copies(span.tokens))
    check_probability(mistakes, f"p without {name!r}", written, logprob)
    return span


def _check_all(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, spans: Sequence[Span], more: int, *,
    only_needed: bool = False,
) -> None:  # fmt: skip
    """Check that the word rests on what is named, the strongest first, and on nothing else.

    only_needed: whether each must be a source by itself, and not one of several.
    """
    for span in spans:
        reason = why_not_needed(tested, word, span)
        others = [one for one in spans if one != span]
        if reason and not only_needed and not why_not_also_there(tested, word, span, others):
            reason = ""
        mistakes.claim(not reason, f"{tested.text(span)!r} is no source: {reason}")
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
    logprob = tested.of_word(word, tested.total(span))
    check_probability(mistakes, f"p without {match[2]!r} anywhere", match[4], logprob)
    effect = logprob - tested.of_word(word)
    direct = tested.effect(word, tested.with_copies(span.tokens))
    mistakes.claim(effect < -HALF, f"{match[2]!r} changes ln p by {effect:.2f} in total")
    control = total_control(tested, word, span)
    is_low = len(control) < 5 or sum(one <= effect for one in control) <= len(control) / 2
    mistakes.claim(is_low, "most other runs as long do as much in total")
    mistakes.claim(
        direct >= -HALF or bool(why_not_needed(tested, word, span)), f"{match[2]!r} is a source"
    )
    mistakes.numbers.append(f"direct {direct:.2f}, total {effect:.2f}")


def _tested(finding: Finding, evidence: Evidence) -> Verdict | None:
    """Judge the finding `tested`: what a word needs, with its controls."""
    text, tested = finding["text"], tested_of(evidence)
    match = _NEEDS.match(text)
    if match is None:
        return None

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        check_probability(mistakes, f"p({word.text})", match[2], tested.of_word(word))
        left = re.search(r"\. ([\d,]+) parts? not tested\.", text)
        many, untested = number_of(match[4]), number_of(left[1]) if left else 0
        known = len(tested.effects)
        mistakes.claim(many <= known <= many + untested, f"there are {known} parts")
        spans = []
        for one in _NEEDED.finditer(text):
            is_id = any(s.level == "segment" and is_cut(one[1], s.id) for s in tested.spans)
            kind = "passage" if is_id else ""
            span = _check_amount(mistakes, tested, word, kind, one[1], one[2])
            if span is not None:
                spans.append(span)
                _check_control(mistakes, tested, word, span, one)
        more = re.search(r"\) and ([\d,]+) more\.", text)
        extra = number_of(more[1]) if more else 0
        count = 0 if match[3].startswith("none") else number_of(match[3].split()[0])
        mistakes.claim(count == len(spans) + extra, f"it names {len(spans)} and {extra} more")
        # What one of several places says is not needed.
        _check_all(mistakes, tested, word, spans, extra, only_needed=True)
        _check_against(mistakes, tested, word, text)
        is_main = word.start <= decisive(evidence)[0] < word.stop
        mistakes.claim(is_main or word in tested.decisive, f"{word.text!r} is not decisive")
        mistakes.claim(finding["position"] == tested.prompt + word.start, "another position")

    return for_each_word(match[1], tested, check).verdict(finding)


def _check_control(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, span: Span, match: re.Match[str]
) -> None:
    """Check that a written control is one of runs as long."""
    control = tested.control(span, word)
    if match[3] is None or not len(control):
        mistakes.claim(match[3] is None, "there are no runs as long")
        return
    ends = [math.exp(min(0.0, tested.of_word(word) + e)) for e in (control[0], control[-1])]
    low, high = (float(match[i].strip("<> ")) for i in (3, 4))
    is_inside = ends[0] - 0.02 <= low <= high <= ends[1] + 0.02
    mistakes.claim(is_inside, f"runs as long give {ends[0]:.3f} to {ends[1]:.3f}")
    mistakes.numbers.append(f"{len(control)} runs as long {ends[0]:.3f} to {ends[1]:.3f}")


def _check_against(mistakes: Mistakes, tested: Tested, word: AnswerWord, text: str) -> None:
    """Check which spans make a word more probable when they are hidden."""
    match = _AGAINST.search(text)
    for _, name in re.findall(NAME, match[1]) if match else ():
        own = [s for s in tested.effects if is_cut(name, tested.text(s)) or is_cut(name, s.id)]
        best = max((tested.effect(word, tested.with_copies(s.tokens)) for s in own), default=0.0)
        mistakes.claim(best > HALF, f"{name!r} changes ln p by {best:.2f}")


CHECKS: dict[str, Check] = {"tested": _tested}
