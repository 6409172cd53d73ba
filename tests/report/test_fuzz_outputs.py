"""A sample of `tests/report/fuzz_outputs.py`: every command, and most kinds of thing."""

import pytest
from fuzz_outputs import COMMANDS, outcome, save_inputs

SOME = [*range(24)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    save_inputs(folder)
    return folder


@pytest.mark.costly
def test_no_output_touches_what_attentropy_did_not_write(inputs):
    assert len(SOME) >= 2 * len(COMMANDS)
    outcomes = {number: outcome(number, inputs)[0] for number in SOME}
    assert {n: result for n, result in outcomes.items() if result not in OUTCOMES} == {}
    assert set(outcomes.values()) == OUTCOMES


OUTCOMES = {"written", "refused"}
