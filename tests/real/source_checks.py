"""The judge's checks of what a report says the answer rests on: the finding and the sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from real.evidence import Evidence, Span
from real.rules import decisive
from real.tested import FLOOR, HALF, AnswerWord, Tested, largest_first, tested_of
from real.verdict import Check, Finding, Mistakes, Verdict

P = r"((?:[<>] )?[\d.]*\d)"
_NAME = r"(?:(the message|the paragraph|the sentence|passage|segment) )?“([^”]*)”"
_ITEM = re.compile(
    rf"{_NAME} \({P}(?: when hidden)?(?: with its copy in the answer)?(?:; alone {P})?\)"
)
_RESTS = re.compile(rf"“([^”]*)” \({P}\) rests on (.*)", re.DOTALL)
_SEVERAL = re.compile(
    rf"“([^”]*)” \({P}\) stands in more than one place: (.*) \((.*) when one is hidden\)", re.DOTALL
)
_THROUGH = re.compile(
    rf"; {_NAME}(?: and ([\d,]+) more)? acts? through other tokens "
    rf"\({P} when hidden from them too\)"
)
_NEEDS = re.compile(
    rf"“([^”]*)” \(p =? ?{P}\) needs (none of the|[\d,]+ of) ([\d,]+) parts? of the prompt tested"
)
_NEEDED = re.compile(
    rf"“([^”]*)” \(p =? ?{P} without it; (?:{P} to {P} without (?:([\d,]+) other parts? as long|"
    rf"others)|no control)\)"
)


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


def fewest(options: Sequence[Mistakes], name: str) -> Mistakes:
    """Return the reading of a sentence with the fewest mistakes; without any, that it has none."""
    if options:
        return min(options, key=lambda one: len(one.all))
    nothing = Mistakes()
    nothing.claim(False, f"there is no {name!r}")
    return nothing


def for_each_word(
    name: str, tested: Tested, check: Callable[[AnswerWord, Mistakes], None]
) -> Mistakes:
    """Check a sentence on each word of the answer that it can mean; return the best reading."""
    options = []
    for word in tested.occurrences(name):
        mistakes = Mistakes()
        check(word, mistakes)
        options.append(mistakes)
    return fewest(options, name)


def find_span(
    tested: Tested, word: AnswerWord, name: str, kind: str, written: str, *, total: bool = False
) -> Span | None:
    """Return the span of a name; of several the one whose probability is nearest to the written."""
    value = float(written.strip("<> "))

    def distance(span: Span) -> float:
        cuts = tested.total(span) if total else tested.with_copies(span.tokens)
        return abs(math.exp(min(0.0, tested.of_word(word, cuts))) - value)

    return min(tested.named(name, kind), key=distance, default=None)


def judge_rests(text: str, tested: Tested) -> Mistakes | None:
    """Judge a sentence about what a word rests on; None for a sentence of another form."""
    through = _THROUGH.search(text)
    head = text[: through.start()] if through else text
    several, rests = _SEVERAL.fullmatch(head), _RESTS.fullmatch(head)
    match = several or rests
    if match is None:
        return None

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        check_probability(mistakes, f"p({word.text})", match[2], tested.of_word(word))
        if several:
            items, more = list(zip(*_split(several[3], several[4]), strict=True)), 0
        elif match[3].startswith("no single part of the prompt that was tested"):
            items, more = [], 0
        else:
            found = list(_ITEM.finditer(match[3]))
            items = [(m[1] or "", m[2], m[3]) for m in found]
            more = re.search(r"and ([\d,]+) more$", match[3])
            more = number_of(more[1]) if more else 0
            for m in found:
                if m[4]:
                    _check_alone(mistakes, tested, word, m)
        spans = [_check_source(mistakes, tested, word, *item) for item in items]
        _check_all(mistakes, tested, word, [span for span in spans if span], more)
        if several:
            _check_places(mistakes, tested, word, [span for span in spans if span])
        if through:
            _check_through(mistakes, tested, word, through)

    return for_each_word(match[1], tested, check)


def _split(names: str, amounts: str) -> tuple[list[str], list[str], list[str]]:
    found = re.findall(_NAME, names)
    return [kind for kind, _ in found], [name for _, name in found], re.findall(P, amounts)


def _check_source(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, kind: str, name: str, written: str
) -> Span | None:
    """Check the probability without a span; return the span."""
    span = find_span(tested, word, name, kind, written)
    if span is None:
        mistakes.claim(False, f"no part {name!r} was tested")
        return None
    logprob = tested.of_word(word, tested.with_copies(span.tokens))
    check_probability(mistakes, f"p without {name!r}", written, logprob)
    return span


def _check_alone(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, match: re.Match[str]
) -> None:
    span = find_span(tested, word, match[2], match[1] or "", match[3])
    if span is not None:
        own = tested.of_word(word, tested.alone(span.tokens))
        check_probability(mistakes, f"p without {match[2]!r} alone", match[4], own)


def _check_all(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, spans: list[Span], more: int
) -> None:
    """Check that what is named is needed, the strongest first, and that nothing is left out."""
    effects = {s: float(e[word.start : word.stop].sum()) for s, e in tested.effects.items()}
    for span in spans:
        reason = why_no_source(tested, word, span, spans, effects)
        mistakes.claim(not reason, f"{tested.text(span)!r} is no source: {reason}")
    mistakes.claim(largest_first([effects[span] for span in spans]), "they are in another order")
    others = [
        span for span in effects
        if not span.is_refined and span not in spans and is_clear_source(tested, word, span)
    ]  # fmt: skip
    mistakes.claim(
        len(others) <= more, f"it also rests on {[tested.text(one)[:40] for one in others]}"
    )


def is_clear_source(tested: Tested, word: AnswerWord, span: Span) -> bool:
    """Return whether hiding a span takes more than half of p, and more than any other run does."""
    effect = tested.effect(word, tested.with_copies(span.tokens))
    if not effect < -max(HALF, FLOOR) - 0.01:
        return False
    control = tested.control(span, word)
    return len(control) < 5 or effect < control[0] - 0.01


def why_no_source(
    tested: Tested, word: AnswerWord, span: Span, spans: list[Span], effects: dict[Span, float]
) -> str:
    """Return why a word does not rest on a span, which stands for others too; "" if it does."""
    control = tested.control(span, word)
    low = float(np.percentile(control, 5)) if len(control) >= 5 else math.inf
    if effects[span] < -HALF and effects[span] < low + 0.02:
        return ""
    # Also there: with others hidden, hiding it as well halves p.
    others = [one for one in spans if one is not span]
    strongest = sorted((one for one in effects if one is not span), key=effects.__getitem__)[:2]
    groups = [others, *([one] for one in others), *([one] for one in strongest), strongest]
    further = min(_further(tested, word, span, group) for group in groups if group)
    if further < -HALF:
        return ""
    return f"effect {effects[span]:.2f}, control from {low:.2f}, with others hidden {further:.2f}"


def _further(tested: Tested, word: AnswerWord, span: Span, group: list[Span]) -> float:
    """Return what hiding a span does once others are hidden."""
    before = {i for one in group for i in one.tokens}
    after = tested.of_word(word, tested.with_copies(before | set(span.tokens)))
    return after - tested.of_word(word, tested.with_copies(before))


def _check_places(mistakes: Mistakes, tested: Tested, word: AnswerWord, spans: list[Span]) -> None:
    """Check that a word falls once every place where it stands is hidden."""
    tokens = {i for span in spans for i in span.tokens}
    effect = tested.effect(word, tested.with_copies(tokens))
    mistakes.numbers.append(f"all of them hidden {effect:.2f}")
    mistakes.claim(effect < -HALF, f"with all of them hidden ln p changes by {effect:.2f} only")


def _check_through(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, match: re.Match[str]
) -> None:
    """Check a span that acts on a word through other tokens alone."""
    span = find_span(tested, word, match[2], match[1] or "", match[4], total=True)
    if span is None:
        mistakes.claim(False, f"no part {match[2]!r} was tested")
        return
    logprob = tested.of_word(word, tested.total(span))
    check_probability(mistakes, f"p without {match[2]!r} anywhere", match[4], logprob)
    effect = logprob - tested.of_word(word)
    direct = tested.effect(word, tested.with_copies(span.tokens))
    mistakes.claim(effect < -HALF, f"{match[2]!r} changes ln p by {effect:.2f} in total")
    control = np.sort([
        tested.effect(word, [(frozenset(run) - tested.sinks, min(run.stop, tested.prompt - 1))])
        for run in other_runs(tested, span)
    ])  # fmt: skip
    if len(control) >= 5:
        is_below = effect < np.percentile(control, 50)
        mistakes.claim(bool(is_below), "most other runs as long do as much in total")
    mistakes.numbers.append(f"direct {direct:.2f}, total {effect:.2f}")


def other_runs(tested: Tested, span: Span) -> list[range]:
    """Return up to twelve runs of tokens as long as a span that do not overlap it."""
    length = span.stop - span.start
    barred = tested.strong() | tested.sinks | set(span.tokens) | set(tested.tokens_of("template"))
    runs = [range(a, a + length) for a in range(tested.prompt - length + 1)]
    own = [run for run in runs if not barred & set(run)]
    return own[:: -(-len(own) // 12) or 1]


def _tested(finding: Finding, evidence: Evidence) -> Verdict | None:
    """Judge the finding `tested`: what a word needs, with its controls."""
    text, tested = finding["text"], tested_of(evidence)
    match = _NEEDS.match(text)
    if match is None:
        return None

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        check_probability(mistakes, f"p({word.text})", match[2], tested.of_word(word))
        left = re.search(r"\. ([\d,]+) parts? not tested\.", text)
        counted = number_of(match[4]) + (number_of(left[1]) if left else 0)
        mistakes.claim(counted == len(tested.effects), f"there are {len(tested.effects)} parts")
        spans = []
        for one in _NEEDED.finditer(text):
            kind = "passage" if any(s.id and _same(one[1], s.id) for s in tested.spans) else ""
            span = _check_source(mistakes, tested, word, kind, one[1], one[2])
            if span is not None:
                spans.append(span)
                _check_control(mistakes, tested, word, span, one)
        more = re.search(r"\) and ([\d,]+) more\.", text)
        extra = number_of(more[1]) if more else 0
        count = 0 if match[3].startswith("none") else number_of(match[3].split()[0])
        mistakes.claim(count == len(spans) + extra, f"it names {len(spans)} and {extra} more")
        _check_all(mistakes, tested, word, spans, extra)
        _check_against(mistakes, tested, word, text)
        is_main = word.start <= decisive(evidence)[0] < word.stop
        mistakes.claim(is_main or word in tested.decisive, f"{word.text!r} is not decisive")
        mistakes.claim(finding["position"] == tested.prompt + word.start, "another position")

    return for_each_word(match[1], tested, check).verdict(finding)


def _same(name: str, text: str) -> bool:
    return name == text or (name.endswith("…") and text.startswith(name[:-1]))


def _check_control(
    mistakes: Mistakes, tested: Tested, word: AnswerWord, span: Span, match: re.Match[str]
) -> None:
    """Check that a written control is one of runs as long, and lies above the source."""
    control = tested.control(span, word)
    if match[3] is None:
        return
    ends = [math.exp(min(0.0, tested.of_word(word) + e)) for e in (control[0], control[-1])]
    low, high = (float(match[i].strip("<> ")) for i in (3, 4))
    is_inside = ends[0] - 0.02 <= low <= high <= ends[1] + 0.02
    mistakes.claim(is_inside, f"runs as long give {ends[0]:.3f} to {ends[1]:.3f}")
    mistakes.numbers.append(f"{len(control)} runs as long {ends[0]:.3f} to {ends[1]:.3f}")


def _check_against(mistakes: Mistakes, tested: Tested, word: AnswerWord, text: str) -> None:
    """Check which spans make a word more probable when they are hidden."""
    match = re.search(
        rf" ((?:{_NAME}(?:, | and )?)+)(?: and ([\d,]+) more)? works? against it\.$", text
    )
    names = [name for _, name in re.findall(_NAME, match[1])] if match else []
    gains = {s: float(e[word.start : word.stop].sum()) for s, e in tested.effects.items()}
    for name in names:
        best = max((gains[s] for s in gains if _same(name, tested.text(s)) or _same(name, s.id)),
                   default=0.0)  # fmt: skip
        mistakes.claim(best > HALF, f"{name!r} changes ln p by {best:.2f}")


CHECKS: dict[str, Check] = {"tested": _tested}
