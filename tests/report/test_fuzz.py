"""A sample of `tests/report/fuzz.py`: every kind of damage, as a folder and as an archive."""

import pytest

import fuzz
from traces import synthetic

pytestmark = pytest.mark.costly

# Cases that once failed, and several cases of every kind; some of them give pages.
CASES = [*range(20, 56), 57, 381, 608]
# The cases that once failed, and every kind as folder and archive, by accident and by a stranger.
SOME = [*range(20, 30), 34, 35, 36, *range(39, 44), 48, 49, 57, 381, 608]


@pytest.mark.parametrize(
    "cases", [SOME, pytest.param(CASES, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_damaged_and_hostile_traces_are_refused_in_one_line_or_give_a_true_page(tmp_path, cases):
    template = synthetic(layers=3, heads=2).save(tmp_path / "t.zarr")
    whole = fuzz.rendered(template, False)
    outcomes, kinds, failed = [], set(), []
    for number in cases:
        folder = tmp_path / str(number)
        folder.mkdir()
        names, path = fuzz.make(number, template, folder)
        kinds |= set(names.split(":")[0].split(", "))
        try:
            outcomes.append(fuzz.outcome(path, names, whole, False))
        except Exception as error:
            failed.append(f"{number}: {names}: {type(error).__name__}: {error}")
    assert failed == []
    assert kinds == {*fuzz.KINDS, "folder", "zip", "accident", "stranger"}
    assert set(outcomes) == {"page", "refused"}
