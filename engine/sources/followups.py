"""What is tested once the strongest spans are known: totals, layers, all evidence, one passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.sources.controls import TOTAL_DRAWS
from attentropy.engine.sources.cost import LAYERED
from attentropy.engine.sources.labels import BAND, is_below, is_own
from attentropy.engine.sources.layout import EVIDENCE, TEMPLATE, token_roles
from attentropy.engine.sources.search import Search, Tested, WindowEffects
from attentropy.engine.trace.types import Array


@dataclass(frozen=True)
class Groups:
    """The effect on each step of hiding all evidence, and the template before the last position.

    NaN where the prompt has none.
    """

    evidence: Array
    template: Array


def hide_groups(search: Search) -> Groups:
    """Hide all evidence with its copies, and the template.

    A word that falls for want of the copies alone keeps the effect of the evidence without them.
    """
    roles = token_roles(search.layout)
    last = search.layout.prompt_tokens - 1
    of = {role: [i for i, own in enumerate(roles) if own == role] for role in set(roles)}
    evidence, template = of.get(EVIDENCE, []), [i for i in of.get(TEMPLATE, []) if i < last]
    hiding = search.hiding
    variants = [
        hiding.direct(template), hiding.direct(evidence), hiding.copies(evidence),
        hiding.with_copies(evidence),
    ]  # fmt: skip
    if not variants[2]:
        variants = variants[:2]
    wanted = [i for i, variant in enumerate(variants) if variant]
    effects = np.full((4, search.readings.steps), np.nan)
    if wanted:
        effects[wanted] = search.readings.direct([variants[i] for i in wanted])
    all_evidence = effects[1].copy()
    if np.isfinite(effects[3]).all():
        of_words = search.word_effects(effects[1:])
        for word, (direct, copies, both) in zip(search.words, of_words.T, strict=True):
            if is_own(float(direct), float(both), float(copies), search.floor):
                all_evidence[word.start : word.stop] = effects[3, word.start : word.stop]
    return Groups(all_evidence, effects[0])


def sources_of(search: Search) -> list[Tested]:
    """Return the finest spans that are a source of a decisive word, or also there."""
    return [
        one
        for one in search.frontier
        if any(search.is_source(one, word) or one.also_there[word] for word in search.decisive)
    ]


def leave_one_passage(search: Search) -> None:
    """Hide all evidence but one passage, for the strongest passages and the most attended ones."""
    own = [*search.strongest(EVIDENCE), *search.attended(EVIDENCE)]
    leave_alone(search, list({id(one): one for one in own}.values()))


def leave_alone(search: Search, passages: Sequence[Tested]) -> None:
    """Hide all evidence but one passage, for each of the passages that has no such test yet."""
    roles = token_roles(search.layout)
    evidence = {i for i, role in enumerate(roles) if role == EVIDENCE}
    own = [one for one in passages if not np.isfinite(one.sufficient).all()]
    others = [search.hiding.direct(sorted(evidence - set(one.tokens))) for one in own]
    for one, effects in zip(own, search.readings.direct(others) if own else [], strict=True):
        one.sufficient = effects


def find_bands(search: Search, layers: Sequence[int]) -> None:
    """Find the layers in which the strongest sources are read, by bisection.

    Hidden from the first layer on, a source has its effect; each round tests the layers halfway
    between those where a share of the effect, `BAND`, is left and those where it is not.
    """
    own = [
        one
        for one in sorted(sources_of(search), key=search.strength, reverse=True)
        if any(search.is_source(one, word) for word in search.decisive)
    ][:LAYERED]
    for one in own:
        one.from_layer = np.full((len(layers), search.readings.steps), np.nan)
        one.from_layer[0] = one.with_copies
    while wanted := [(one, entry) for one in own for entry in _halfway(search, one)]:
        missed = search.readings.missed
        _hide_from(search, wanted, layers)
        if search.readings.missed > missed:  # the budget is spent
            return


def hide_by_layer(search: Search, layers: Sequence[int]) -> None:
    """Hide the sources whose band was looked for from each of the other layers on, too.

    Each layer halves a gap between those before, so that a short budget leaves small gaps.
    """
    wanted = [
        (one, entry)
        for one in search.frontier
        if one.from_layer is not None
        for entry in np.flatnonzero(~np.isfinite(one.from_layer).all(1)).tolist()
    ]
    wanted.sort(key=lambda test: test[1] & -test[1], reverse=True)  # entries 16, 8, 24, 4, 12, …
    _hide_from(search, wanted, layers)


def _hide_from(search: Search, wanted: Sequence[tuple[Tested, int]], layers: Sequence[int]) -> None:
    """Hide sources, with their copies, from a layer on, given by its entry in `layers`."""
    variants = [
        search.hiding.with_copies(one.tokens, (layers[entry], None)) for one, entry in wanted
    ]
    if variants:
        for (one, entry), effects in zip(wanted, search.readings.direct(variants), strict=True):
            assert one.from_layer is not None
            one.from_layer[entry] = effects


def _halfway(search: Search, one: Tested) -> list[int]:
    """Return the entries to test next, on the decisive word that hiding the source changes most."""
    assert one.from_layer is not None
    effects = search.word_effects(one.from_layer)[:, search.decisive]
    word = int(np.abs(effects[0]).argmax())
    shares = effects[:, word] / effects[0, word]
    finite, entries = np.flatnonzero(np.isfinite(shares)), set[int]()
    for share in BAND:
        last = int(finite[shares[finite] >= share].max(initial=0))
        below = finite[finite > last].min(initial=len(shares))
        if below - last > 1:
            entries.add(int(last + below) // 2)
    return sorted(entries)


def hide_from_all(search: Search) -> None:
    """Hide the strongest spans and the most attended ones from every later row.

    Those that may act through other tokens get a control of the same kind. A span that has a sink
    is left out: its other tokens are no single interval.
    """
    sinks = set(search.sinks)
    own = {id(one): one for one in [*search.strongest(), *search.attended()]
           if not sinks & set(one.tokens)}  # fmt: skip
    spans = list(own.values())
    if not spans:
        return
    for one, effects in zip(
        spans, search.readings.total([(s.span.start, s.span.stop) for s in spans]), strict=True
    ):
        one.total = effects
    draws, effects_of = search.controls(), WindowEffects(search.readings.total, {})
    for one in spans:
        effects = search.word_effects(one.total)
        is_wanted = any(
            is_below(float(effects[word]), np.nan, search.floor)
            and not (search.is_source(one, word) or one.also_there[word])
            for word in search.decisive
        )
        if is_wanted:
            windows = draws.draws_for(one.span, TOTAL_DRAWS)
            one.control_total = effects_of.control(
                windows, search.word_effects, len(search.words)
            )  # fmt: skip


def remove_each(search: Search) -> None:
    """Read the prompt again without each span, those with the strongest effects first."""
    own = sorted(search.frontier, key=search.strength, reverse=True)
    spans = [(one.span.start, one.span.stop) for one in own]
    for one, effects in zip(own, search.readings.remove(spans) if own else [], strict=True):
        one.removed = effects
