"""The second sweep compiles to machine code for each GPU family, and two programs fit."""

from __future__ import annotations

import pytest

import compiler

# Architecture/head/variant: bytes (NVIDIA) or registers (AMD) that may spill. The sample has each
# architecture, head size and kernel.
SAMPLE = {
    "sm_80/128/map": 0,
    "sm_90/64/received": 0,
    "sm_90/128/received": 0,
    "sm_90/128/map": 160,  # all of them before and after the loops over queries
    "sm_90/128/full": 0,
    "sm_90/128/chosen": 0,
    "sm_90/64/by distance": 0,
    "sm_90/128/by distance": 0,
    "sm_90/128/float32": 0,
    "sm_90/256/received": 0,
    "sm_100/128/received": 64,  # also outside the loops
    "gfx942/128/map": 0,
    "gfx942/128/float32": 0,
    "gfx942/128/by distance": 0,
}
# What a version of Triton spills more, also outside the loops.
MORE = {(3, 6): {"sm_90/128/received": 8, "sm_100/128/received": 72}}
SAMPLE |= MORE.get(compiler.VERSION, {})
OTHERS = {
    "sm_80/128/by distance": 0,
    "sm_80/128/received": 0,
    "sm_90/64/map": 64,
}  # also outside the loops
SCORES = 64 * 128  # in one block of sm_80 and sm_90, by 256 threads


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return compile_ahead("compiled_sweep.py", SAMPLE)


@pytest.mark.parametrize("name", SAMPLE)
def test_blocks_fit_into_registers(compiled, name):
    assert compiled[name]["spilled"] <= SAMPLE[name]


@pytest.mark.slow
def test_blocks_of_the_other_variants_fit_into_registers(compile_ahead):
    compiled = compile_ahead("compiled_sweep.py", OTHERS)
    assert {n: one["spilled"] for n, one in compiled.items() if one["spilled"] > OTHERS[n]} == {}


@pytest.mark.parametrize("name", ["sm_90/64/received", "sm_90/128/received"])
def test_two_programs_fit_on_a_processor(compiled, name):
    assert 2 * 256 * compiled[name]["registers"] <= 65_536
    assert 2 * compiled[name]["shared"] <= 227 * 1024


@pytest.mark.parametrize(
    ("name", "loops"),
    [
        ("sm_80/128/map", 2),
        ("sm_90/128/full", 1),
        ("sm_90/128/received", 2),
        ("sm_90/128/by distance", 2),
    ],
)
def test_a_score_is_one_multiply_add_and_one_exponential(compiled, name, loops):
    assert compiled[name]["exponentials"] == loops * SCORES // 256
    assert compiled[name]["fma"] == loops * SCORES // 256


@pytest.mark.parametrize("name", [name for name in SAMPLE if name.endswith("float32")])
def test_products_of_float32_are_never_rounded_to_tf32(compiled, name):
    assert compiled[name]["tf32"] == 0
    if name.startswith("sm"):  # no matrix unit there multiplies whole float32 numbers
        assert compiled[name]["matrix"] == 0
        assert compiled[name]["fma"] > 1000
