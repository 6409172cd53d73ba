"""Grids of test parameters, of which a small covering part always runs.

A factor is named by the arguments that it sets ("mask", or "queries,keys" for tuples) and has a
list of values, or a mapping from ids to values. All combinations are parameters of the test; those
beyond the cover are marked slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest

Factors = Mapping[str, Sequence[Any] | Mapping[str, Any]]
Case = tuple[int, ...]  # the index of each factor's value


def pairwise(factors: Factors) -> pytest.MarkDecorator:
    """Parametrise a test so that each pair of values of two factors always runs."""
    cases = [*product(*(range(len(values)) for values in factors.values()))]
    missing = {pair for case in cases for pair in _pairs(case)}
    cover = set()
    while missing:
        best = max(cases, key=lambda case: len(missing.intersection(_pairs(case))))
        cover.add(best)
        missing.difference_update(_pairs(best))
    return _parametrize(factors, cover)


def diagonal(factors: Factors) -> pytest.MarkDecorator:
    """Parametrise a test so that each value of each factor always runs, in one case or more."""
    sizes = [len(values) for values in factors.values()]
    return _parametrize(factors, {tuple(i % n for n in sizes) for i in range(max(sizes))})


def every_second(name: str, values: Mapping[str, Any], first: int) -> pytest.MarkDecorator:
    """Parametrise a test by values of which those at first, first + 2, … always run.

    Tests of several implementations of one kernel share the values this way.
    """
    return _parametrize({name: values}, {(i,) for i in range(first, len(values), 2)})


def _pairs(case: Case) -> list[tuple[tuple[int, int], ...]]:
    return [*combinations(enumerate(case), 2)]


def _parametrize(factors: Factors, cover: set[Case]) -> pytest.MarkDecorator:
    parameters = []
    for case in product(*(range(len(values)) for values in factors.values())):
        arguments, ids = [], []
        for (names, values), index in zip(factors.items(), case, strict=True):
            is_named = isinstance(values, Mapping)
            value = [*values.values()][index] if is_named else values[index]
            several = "," in names
            arguments += value if several else [value]
            if is_named:
                ids.append([*values][index])
            else:
                ids += [str(one) for one in (value if several else [value])]
        marks = [] if case in cover else [pytest.mark.slow]
        parameters.append(pytest.param(*arguments, id="-".join(ids), marks=marks))
    return pytest.mark.parametrize(",".join(factors), parameters)
