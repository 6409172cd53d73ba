"""Hopper's kernels that no GPU has run yet compile, and what spills is listed."""

import pytest
from compiled_lazy import DEFAULT, FORMS, exponentials_before_wait, shortest_loop

import compiler
from attentropy.engine.trace.statistics import DEFAULT_STATS

# Bytes that a form may spill: outputs of 64 × 256 leave few registers.
SPILLED = {
    "sm_90/64/entropy": 8,
    "sm_90/256/default": 56,
    "sm_90/256/every": 80,
    "sm_90/256/full": 8,
    "sm_90/256/padded": 56,
    "sm_90/256/sinks": 64,
    "sm_90/256/edges": 88,
    "sm_90/256/full edges": 48,
    "sm_90/64/sums": 8,  # in the loop at the diagonal
    "sm_90/128/sums": 8,
}
# What other versions of Triton spill more.
MORE: dict[tuple[int, int], dict[str, int]] = {
    (3, 6): {"sm_90/256/full edges": 56},
    (3, 8): {
        "sm_90/64/off": 16,
        "sm_90/64/entropy": 48,
        "sm_90/128/full edges": 8,
        "sm_90/256/full edges": 112,
        "sm_90/128/sums": 16,
    },
}
SPILLED |= MORE.get(compiler.VERSION, {})
SAMPLE = ["sm_90/128/default", "sm_90/64/full sums"]
NAMES = [
    *(f"sm_90/{head}/{form}" for head in (64, 96, 128, 256) for form in FORMS),
    *(f"sm_90/{head}/{form}" for head in (64, 128) for form in ("sums", "full sums", "top key")),
]
# Most instructions of the loop that nothing hides, per 64 scores of a thread (32 at D 256).
LOOPS = {
    "sm_90/128/off": 480,
    "sm_90/128/entropy": 560,
    "sm_90/128/default": 700,
    "sm_90/64/sums": 260,
    "sm_90/128/sums": 260,
}


def _check(facts, names):
    assert {n: facts[n]["spilled"] for n in names if facts[n]["spilled"] > SPILLED.get(n, 0)} == {}
    assert {n: facts[n]["unwritten"] for n in names if facts[n]["unwritten"]} == {}
    assert {n for n in names if facts[n]["tf32"]} == set()


def test_a_sample_compiles_as_the_tables_say(compile_ahead):
    _check(compile_ahead("compiled_lazy.py", SAMPLE), SAMPLE)


@pytest.mark.slow
def test_every_form_compiles_without_spills_but_listed_ones(compile_ahead):
    facts = compile_ahead("compiled_lazy.py", NAMES)
    _check(facts, NAMES)
    if compiler.VERSION == (3, 7):
        assert {n: facts[n]["loop"] for n, most in LOOPS.items() if facts[n]["loop"] > most} == {}
    for name in NAMES:
        if not name.endswith("top key"):
            assert facts[name]["matrix"] > 0, name


def test_the_default_statistics_are_those_that_a_run_keeps():
    assert set(DEFAULT) == set(DEFAULT_STATS)


def test_the_shortest_loop_is_that_with_the_fewest_instructions():
    def loop(start, count, exponentials):
        lines = ["MUFU.EX2 R1, R1"] * exponentials + ["MOV R1, R2"] * (count - exponentials - 1)
        return [*lines, f"@P0 BRA 0x{start:x}"]

    code = [*loop(0, 20, 16), *loop(0x140, 18, 16), *loop(0x260, 4, 0)]
    listing = "\n".join(f"        /*{16 * i:04x}*/    {line} ;" for i, line in enumerate(code))
    assert len(shortest_loop(listing)) == 18


def test_the_wait_for_products_has_a_place_among_the_exponentials():
    loop = ["MUFU.EX2 R1, R1", "WARPGROUP.DEPBAR.LE gsb0, 0x1", "MUFU.EX2 R2, R2"]
    assert exponentials_before_wait(loop) is None
    assert exponentials_before_wait([*loop, "WARPGROUP.DEPBAR.LE gsb0, 0x0"]) == 2
