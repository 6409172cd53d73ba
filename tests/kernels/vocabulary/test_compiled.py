"""The vocabulary kernel compiles to machine code for each GPU family and fits into registers."""

from __future__ import annotations

import pytest

import compiler

# Bytes (NVIDIA) or registers (AMD) that may spill. What spills does so once for each block of
# logits, around the statistics, and never in the loop of products.
# The sample has each architecture and each way to read: block copies, addresses, few rows, float32.
SAMPLE = {
    "sm_80/kl": 0,
    "sm_90/off": 0,
    "sm_90/entropy": 0,
    "sm_90/top5": 0,
    "sm_90/lens": 64,
    "sm_90/few": 0,
    "sm_90/kl": 0,
    "sm_90/float32": 0,
    "sm_100/lens": 0,
    "gfx942/lens": 0,
    "gfx942/float32": 0,
}
# What a version of Triton spills more.
MORE = {
    (3, 6): {"sm_90/lens": 264, "gfx942/lens": 8},
    (3, 8): {"sm_80/kl": 104, "sm_100/lens": 8, "gfx942/lens": 4},
}
SAMPLE |= MORE.get(compiler.VERSION, {})
# By version: the instructions, at most, that entropy adds per logit.
ADDED = {(3, 6): 1.5, (3, 7): 1.5, (3, 8): 1.7}
OTHERS = {
    "sm_80/entropy": 0,
    "sm_80/few": 0,
    "sm_90/pointers": 0,
    "sm_100/entropy": 0,
}


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return compile_ahead("compiled_vocabulary.py", SAMPLE)


@pytest.mark.parametrize("name", SAMPLE)
def test_blocks_fit_into_registers(compiled, name):
    assert compiled[name]["spilled"] <= SAMPLE[name]


@pytest.mark.slow
def test_blocks_of_the_other_variants_fit_into_registers(compile_ahead):
    compiled = compile_ahead("compiled_vocabulary.py", OTHERS)
    assert {n: one["spilled"] for n, one in compiled.items() if one["spilled"] > OTHERS[n]} == {}


@pytest.mark.parametrize("name", [name for name in SAMPLE if name.endswith("float32")])
def test_products_of_float32_are_never_rounded_to_tf32(compiled, name):
    assert compiled[name]["tf32"] == 0
    if name.startswith("sm"):  # no matrix unit there multiplies whole float32 numbers
        assert compiled[name]["matrix"] == 0
        assert compiled[name]["fma"] > 500


def test_entropy_is_one_multiplication_a_logit_and_top_k_no_product(compiled):
    off, entropy, top = (compiled[f"sm_90/{name}"] for name in ("off", "entropy", "top5"))
    assert off["exponentials"] == entropy["exponentials"] == top["exponentials"]
    assert off["matrix"] == entropy["matrix"] == top["matrix"]
    logits = 128 * 256 // 256  # of a block, each of its 256 threads
    assert entropy["fma"] - off["fma"] <= logits + 8
    added = compiler.of_version(ADDED)
    assert entropy["instructions"] - off["instructions"] <= added * logits
