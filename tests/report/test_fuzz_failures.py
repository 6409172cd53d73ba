"""A sample of `tests/report/fuzz_failures.py`: every kind of call that fails."""

import pytest
from fuzz_failures import KINDS, case_of, run, save_inputs

from pictures import without_pictures

pytestmark = pytest.mark.costly
CASES = (*range(13), 15, 18, 26, 58)  # every kind of call


def test_a_call_that_fails_gives_one_line_and_leaves_nothing(tmp_path):
    save_inputs(tmp_path)
    kinds = {case_of(number)[1] for number in CASES}
    with without_pictures():
        outcomes = {number: run(number, tmp_path) for number in CASES}
    assert {number: o for number, o in outcomes.items() if o not in ("success", "one line")} == {}
    assert kinds == {*KINDS, "file size"}
    assert set(outcomes.values()) == {"success", "one line"}
