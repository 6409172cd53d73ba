"""The kernel compiles to machine code for each GPU family, and its blocks fit into registers."""

from __future__ import annotations

import pytest

import compiler

# Architecture/head/variant: bytes (NVIDIA) or registers (AMD) that may spill. The sample has each
# architecture and each head size, and at 64 and 128 the kernel with and without entropy.
SAMPLE = {
    "sm_80/128/entropy": 0,
    "sm_90/64/off": 0,
    "sm_90/64/plain": 0,
    "sm_90/64/entropy": 0,
    "sm_90/80/entropy": 0,
    "sm_90/128/off": 0,
    "sm_90/128/plain": 0,
    "sm_90/128/entropy": 0,
    "sm_90/128/statistics": 0,
    "sm_90/128/float32": 0,
    "sm_90/256/entropy": 8,  # two registers, with an output block of 128 × 256
    "sm_100/128/entropy": 0,
    "gfx942/128/entropy": 0,
    "gfx942/128/float32": 0,
}
OTHERS = {
    "sm_80/64/off": 0,
    "sm_80/64/plain": 0,
    "sm_80/64/entropy": 0,
    "sm_80/256/entropy": 0,
    "sm_90/64/window": 0,
    "sm_90/128/full": 0,
    "sm_100/64/entropy": 0,
    "sm_100/256/entropy": 0,
    "gfx942/64/entropy": 0,
}


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return compile_ahead("compiled.py", SAMPLE)


@pytest.mark.parametrize("name", SAMPLE)
def test_blocks_fit_into_registers(compiled, name):
    assert compiled[name]["spilled"] <= SAMPLE[name]


@pytest.mark.slow
def test_blocks_of_the_other_variants_fit_into_registers_and_off_is_plain(compile_ahead):
    compiled = compile_ahead("compiled.py", OTHERS)
    assert {n: one["spilled"] for n, one in compiled.items() if one["spilled"] > OTHERS[n]} == {}
    assert compiled["sm_80/64/off"]["code"] == compiled["sm_80/64/plain"]["code"]


@pytest.mark.parametrize("name", [name for name in SAMPLE if name.endswith("float32")])
def test_products_of_float32_are_never_rounded_to_tf32(compiled, name):
    assert compiled[name]["tf32"] == 0
    if name.startswith("sm"):  # no matrix unit there multiplies whole float32 numbers
        assert compiled[name]["matrix"] == 0
        assert compiled[name]["fma"] > 1000


@pytest.mark.parametrize("name", ["sm_90/64", "sm_90/128"])
def test_entropy_off_is_the_machine_code_of_attention_without_it(compiled, name):
    assert compiled[f"{name}/off"]["code"] == compiled[f"{name}/plain"]["code"]


# By version of Triton: fused multiply-adds (least, most) and all instructions (most) that entropy
# adds per score. 3.8 fuses them in one of the two loops; in the other it multiplies, then adds.
ADDED = {(3, 6): (1.0, 1.1, 1.1), (3, 7): (1.0, 1.1, 1.1), (3, 8): (0.6, 0.7, 1.9)}


@pytest.mark.parametrize("name", ["sm_90/64", "sm_90/128"])
def test_entropy_is_one_fused_multiply_add_per_score(compiled, name):
    least, most, instructions = compiler.of_version(ADDED)
    off, entropy = compiled[f"{name}/off"], compiled[f"{name}/entropy"]
    assert entropy["exponentials"] == off["exponentials"]
    assert entropy["matrix"] == off["matrix"]
    scores = 2 * 128 * 128 // 256  # two loops, a block of scores each, over the threads
    assert least * scores <= entropy["fma"] - off["fma"] <= most * scores
    assert entropy["instructions"] - off["instructions"] <= instructions * scores
