"""The judge's check of the finding `tested`: what the headline's word needs, with its controls."""

from __future__ import annotations

import math
import re

from real.evidence import Evidence, Span
from real.rules import decisive
from real.source_checks import (
    NAME,
    P,
    check_all,
    check_amount,
    check_probability,
    for_each_word,
    number_of,
)
from real.tested import HALF, AnswerWord, Tested, is_cut, tested_of
from real.verdict import Check, Finding, Mistakes, Verdict

_NEEDS = re.compile(
    rf"“([^”]*)” \(p =? ?{P}\) needs (none of the|[\d,]+ of) ([\d,]+) parts? of the prompt tested"
)
_NEEDED = re.compile(
    rf"“([^”]*)” \((?:p =? ?)?{P} without it; (?:{P} to {P} without "
    rf"(?:([\d,]+) other parts? as long|others)|no control)\)"
)
_AGAINST = re.compile(
    rf" ((?:{NAME}(?:, | and )?)+)(?: and ([\d,]+) more)? works? against it\.$"
)  # fmt: skip


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
        count_tested = len(tested.effects)
        mistakes.claim(many <= count_tested <= many + untested, f"there are {count_tested} parts")
        spans = []
        for one in _NEEDED.finditer(text):
            is_id = any(s.level == "segment" and is_cut(one[1], s.id) for s in tested.spans)
            kind = "passage" if is_id else ""
            span = check_amount(mistakes, tested, word, kind, one[1], one[2])
            if span is not None:
                spans.append(span)
                _check_control(mistakes, tested, word, span, one)
        more = re.search(r"\) and ([\d,]+) more\.", text)
        extra = number_of(more[1]) if more else 0
        count = 0 if match[3].startswith("none") else number_of(match[3].split()[0])
        mistakes.claim(count == len(spans) + extra, f"it names {len(spans)} and {extra} more")
        # What one of several places says is not needed.
        check_all(mistakes, tested, word, spans, extra)
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
    if match[3].endswith(" nats"):
        ends = [float(control[0]), float(control[-1])]
    low, high = (
        float(match[i].strip("<> +").replace("−", "-").removesuffix(" nats")) for i in (3, 4)
    )
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
