"""The part of a grid that always runs covers it, and the rest is slow and not lost."""

from itertools import combinations

from grids import diagonal, every_second, pairwise

FACTORS = {"mask": {"a": 1, "b": 2, "c": 3}, "queries,keys": [(1, 2), (3, 4)], "flag": [0, 1, 2]}


def _cases(mark):
    names, parameters = mark.args
    assert names == "mask,queries,keys,flag"
    assert len({parameter.id for parameter in parameters}) == len(parameters) == 18
    return [(p.values[0], p.values[1:3], p.values[3]) for p in parameters if not p.marks]


def test_pairwise_runs_each_pair_of_values():
    cases = _cases(pairwise(FACTORS))
    pairs = {pair for case in cases for pair in combinations(enumerate(case), 2)}
    assert len(pairs) == 3 * 2 + 3 * 3 + 2 * 3
    assert len(cases) < 12


def test_diagonal_runs_each_value():
    cases = _cases(diagonal(FACTORS))
    assert len(cases) == 3
    assert [len(set(values)) for values in zip(*cases, strict=True)] == [3, 2, 3]


def test_every_second_value_runs_and_the_others_in_the_other_half():
    halves = [every_second("mask", {"a": 1, "b": 2, "c": 3}, first).args[1] for first in (0, 1)]
    running = [[p.id for p in half if not p.marks] for half in halves]
    assert running == [["a", "c"], ["b"]]
