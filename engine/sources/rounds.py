"""*Also there*: what a word could rest on as well as on its strongest span.

Of two copies of a fact each alone has little effect: the answer reads the other one. So each
passage is left alone, without all others; and the strongest span is hidden, source or not, and
every remaining span is tested again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.sources.cost import STRONGEST
from attentropy.engine.sources.followups import leave_alone
from attentropy.engine.sources.labels import HALF, is_below
from attentropy.engine.sources.layout import EVIDENCE
from attentropy.engine.sources.search import Search, Tested, Window, WindowEffects
from attentropy.engine.trace.types import Array

ROUNDS = 3


def find_also_there(search: Search, all_evidence: Array) -> None:
    """Mark the spans that are *also there*, by word.

    Where the prompt has evidence, the strongest evidence is hidden and the other evidence is
    tested: with a word of the question hidden, two passages still replace each other. all_evidence:
    the effect of hiding all of it, per step; a word that it lowers no further than the strongest
    span alone has nothing else there.
    """
    own = [one for one in search.frontier if np.isfinite(one.with_copies).all()]
    evidence = [one for one in own if one.span.role == EVIDENCE]
    pool = evidence or own
    if len(pool) < 2:
        return
    if evidence:
        _mark_sufficient(search, evidence, search.word_effects(all_evidence))
    effects = search.word_effects(np.stack([one.with_copies for one in pool]))
    groups: dict[int, list[int]] = {}
    for word in sorted(search.decisive, key=lambda word: float(effects[:, word].min())):
        groups.setdefault(int(effects[:, word].argmin()), []).append(word)
    further = search.word_effects(all_evidence)
    for leader, words in list(groups.items())[:STRONGEST]:
        left = [word for word in words if not further[word] - effects[leader, word] >= -HALF]
        if left:
            _rounds(search, pool, pool[leader], left, further)


def _mark_sufficient(search: Search, evidence: Sequence[Tested], without: Array) -> None:
    """Mark the passages that keep a word when they are left alone.

    without: the effect of hiding all evidence, per word. Other passages left alone are the control:
    what half of them do as well is not the passage's.
    """
    alone = search.word_effects(np.stack([one.sufficient for one in evidence]))
    if not np.isfinite(alone).any():
        return
    usual = np.fmax(np.nanmedian(alone, 0), without)
    is_enough = (alone >= -HALF) & (alone - usual > HALF)
    for word in search.decisive:
        for i in np.flatnonzero(is_enough[:, word]).tolist():
            evidence[i].also_there[word] = True


def _rounds(
    search: Search, pool: Sequence[Tested], leader: Tested, words: Sequence[int], without: Array
) -> None:
    """Hide the leader and then, while the words still stand, what has the strongest effect with it.

    Marks what passes with these hidden, and those of them without which it would not. without: the
    effect of hiding all evidence, per word; a passage that gives little of it back is no copy.
    """
    hidden, before = [leader], leader.with_copies
    for _ in range(ROUNDS):
        rest = [one for one in pool if one not in hidden]
        if not rest:
            return
        together = _test(search, hidden, [tuple(one.tokens) for one in rest])
        further = search.word_effects(together - before)
        passed = _passing(search, hidden, before, rest, further, words)
        passed = [(i, word) for i, word in passed if _gives_back(search, rest[i], word, without)]
        for i, word in passed:
            rest[i].also_there[word] = True
            for one in _needed(search, hidden, rest[i], together[i], word):
                one.also_there[word] = True
        if not np.isfinite(further).any():
            return
        options = passed or [(i, word) for i in range(len(rest)) for word in words]
        strongest = min(options, key=lambda at: float(np.nan_to_num(further[at])))[0]
        hidden.append(rest[strongest])
        before = together[strongest]
        if not (search.word_effects(before)[list(words)] > -HALF).any():
            return


def _gives_back(search: Search, one: Tested, word: int, without: Array) -> bool:
    """Return whether a passage left alone gives back half of what hiding all evidence costs.

    And twice the probability at least: far below, any passage changes a word.
    """
    if one.span.role != EVIDENCE:
        return True
    leave_alone(search, [one])
    gain = float(search.word_effects(one.sufficient)[word] - without[word])
    return gain > max(HALF, -float(without[word]) / 2)


def _needed(
    search: Search, hidden: Sequence[Tested], other: Tested, together: Array, word: int
) -> list[Tested]:
    """Return which hidden spans matter: with one of them visible the word would stand better."""
    if len(hidden) == 1:
        without = other.with_copies[None]
    else:
        rest = [[two for two in hidden if two is not one] for one in hidden]
        tokens = [[i for one in own for i in one.tokens] for own in rest]
        without = _test(search, [other], tokens)
    gains = search.word_effects(without - together)[:, word]
    return [one for one, gain in zip(hidden, gains, strict=True) if gain > HALF]


def _test(search: Search, hidden: Sequence[Tested], others: Sequence[Sequence[int]]) -> Array:
    """Return the effect of hiding all of `hidden` together with each of `others`, [other, step]."""
    tokens = [i for one in hidden for i in one.tokens]
    variants = [search.hiding.with_copies([*tokens, *other]) for other in others]
    return search.readings.direct(variants)


def _passing(
    search: Search, hidden: Sequence[Tested], before: Array, rest: Sequence[Tested], further: Array,
    words: Sequence[int],
) -> list[tuple[int, int]]:  # fmt: skip
    """Return which of the rest have a further effect below −ln 2, floor and control: (i, word).

    The draws of the control are hidden together with what is hidden already.
    """
    tried = [(i, word) for i in range(len(rest)) for word in words
             if is_below(float(further[i, word]), np.nan, search.floor)]  # fmt: skip
    if not tried:
        return []

    def test(windows: Sequence[Window]) -> Array:
        return _test(search, hidden, [range(*window) for window in windows]) - before

    barred = {i for one in hidden for i in one.tokens}
    draws = search.controls()
    effects = WindowEffects(test, {})
    controls = {}
    for i in dict.fromkeys(i for i, _ in tried):
        windows = [own for own in draws.draws_for(rest[i].span) if not barred & set(range(*own))]
        controls[i] = effects.control(windows, search.word_effects, len(search.words))
    # A word that has fallen already is fragile: there, no control is no proof.
    has_fallen = search.word_effects(before) <= -HALF
    return [
        (i, word) for i, word in tried
        if is_below(float(further[i, word]), float(controls[i].low[word]), search.floor)
        and (controls[i].draws or not has_fallen[word])
    ]  # fmt: skip
