"""Some of the fuzzer's cases: odd values in random places agree with the definitions."""

import odd_fuzz
import pytest

FEW = [*range(30), 64, 104, 2960, 3064, 3153]


@pytest.mark.parametrize("seed", FEW)
def test_a_case_of_the_fuzzer_agrees_with_the_definitions(seed):
    odd_fuzz.run(seed)
