"""The judge's rules of sources: when a word of the answer rests on a part of the prompt."""

from __future__ import annotations

import math

import numpy as np

from real.evidence import Span
from real.tested import FLOOR, HALF, AnswerWord, Tested

_RUNS = 12  # of a total effect's control


def is_clear_source(tested: Tested, word: AnswerWord, span: Span) -> bool:
    """Return whether hiding a span takes more than half of p, and more than any other run does."""
    effect = tested.effect(word, tested.with_copies(span.tokens))
    if not effect < -max(HALF, FLOOR) - 0.01 or not tested.is_own(word, span.tokens):
        return False
    control = tested.control(span, word)
    return len(control) < 5 or effect < control[0] - 0.01


def why_not_needed(tested: Tested, word: AnswerWord, span: Span) -> str:
    """Return why a span is no source of a word; "" if it is one."""
    effect = tested.effect(word, tested.with_copies(span.tokens))
    control = tested.control(span, word)
    low = float(np.percentile(control, 5)) if len(control) >= 5 else math.inf
    if not effect < -HALF or not effect < low + 0.02:
        return f"effect {effect:.2f}, control from {low:.2f}"
    return "" if tested.is_own(word, span.tokens) else "the effect is that of its copies"


def why_not_also_there(tested: Tested, word: AnswerWord, span: Span, others: list[Span]) -> str:
    """Return why a span is not one of several that replace each other; "" if it is.

    others: what the word is said to rest on besides it.
    """
    alone = tested.effect(word, tested.only(span))
    nothing = tested.effect(word, tested.hidden_evidence(word))
    is_evidence = span.role == "evidence"
    if is_evidence and alone >= -HALF and alone - max(nothing, _usual(tested, word)) > HALF:
        return ""
    effects = {one: float(e[word.start : word.stop].sum()) for one, e in tested.effects.items()}
    pool = [s for s in effects if s != span and not s.is_refined and s.role == span.role]
    strongest = sorted(pool, key=effects.__getitem__)[:3]
    groups = [others, *([one] for one in (*others, *strongest)), strongest[:2], strongest]
    further = min((_further(tested, word, span, own) for own in groups if own), default=0.0)
    gives_back = alone - nothing >= max(HALF, -nothing / 2)
    if further < -HALF and (gives_back or not is_evidence):
        return ""
    return f"with others hidden {further:.2f}; it alone {alone:.2f}, no evidence {nothing:.2f}"


def _usual(tested: Tested, word: AnswerWord) -> float:
    """Return the median of what a word keeps with one passage alone, of those with an effect."""
    passages = [s for s in tested.effects if s.role == "evidence" and not s.is_refined]
    tested.measure([tested.only(span) for span in passages])
    return float(np.median([tested.effect(word, tested.only(span)) for span in passages]))


def _further(tested: Tested, word: AnswerWord, span: Span, group: list[Span]) -> float:
    """Return what hiding a span does once others are hidden."""
    before = {i for one in group for i in one.tokens}
    after = tested.of_word(word, tested.with_copies(before | set(span.tokens)))
    return after - tested.of_word(word, tested.with_copies(before))


def total_control(tested: Tested, word: AnswerWord, span: Span) -> list[float]:
    """Return the total effects of up to twelve runs of tokens as long as a span."""
    length = span.stop - span.start
    barred = tested.strong() | tested.sinks | set(span.tokens) | set(tested.tokens_of("template"))
    runs = [range(a, a + length) for a in range(tested.prompt - length + 1)]
    own = [run for run in runs if not barred & set(run)]
    cuts = [tested.total(run) for run in own[:: -(-len(own) // _RUNS) or 1]]
    tested.measure(cuts)
    return [tested.effect(word, one) for one in cuts]
