"""A sample of `tests/report/fuzz.py`: every kind of damage, as a folder and as an archive."""

import pytest

from damaged_cases import kinds_of, make, outcome, rendered, save_template

pytestmark = pytest.mark.costly

# Cases that once failed, and several cases of every kind; some of them give pages.
CASES = [*range(20, 56), 57, 381, 608]
# The cases that once failed, and every kind as folder and archive, by accident and by a stranger.
SOME = [*range(20, 30), 34, 35, 36, *range(39, 44), 48, 49, 57, 381, 608]

# Every kind, as folder and archive, by accident and by a stranger; some of them give pages.
OF_COMPARISONS = [*range(22)]


@pytest.mark.parametrize(
    ("of", "cases"),
    [
        ("trace", SOME),
        ("comparison", OF_COMPARISONS),
        pytest.param("trace", CASES, marks=pytest.mark.slow),
        pytest.param("comparison", range(110), marks=pytest.mark.slow),
    ],
    ids=["some traces", "some comparisons", "traces", "comparisons"],
)
def test_damaged_and_hostile_stores_are_refused_in_one_line_or_give_a_true_page(
    tmp_path, of, cases
):
    template = save_template(of, tmp_path)
    whole = rendered(template, False)
    outcomes, kinds, failed = [], set(), []
    for number in cases:
        folder = tmp_path / str(number)
        folder.mkdir()
        names, path = make(number, template, folder)
        kinds |= set(names.split(":")[0].split(", "))
        try:
            outcomes.append(outcome(path, names, whole, False))
        except Exception as error:
            failed.append(f"{number}: {names}: {type(error).__name__}: {error}")
    assert failed == []
    assert kinds == {*kinds_of(template), "folder", "zip", "accident", "stranger"}
    assert set(outcomes) == {"page", "refused"}
