"""Every variant of Hopper's kernel that `run.sh` measures compiles, so that a GPU can run it."""

import pytest

# Bytes that a variant may spill; all others spill none.
SPILLED = {
    "late_wait/64/off": 16,
    "late_wait/64/entropy": 8,
    "lazy/64/entropy": 8,
    "lazy/64/entropy,max_prob,distance,sink_mass,top_key": 112,
}
HEADS_64_AND_128 = [
    f"{variant}/{head}/{stats}"
    for head in (64, 128)
    for variant, stats in (
        ("tree_maximum", "entropy"),
        ("late_wait", "entropy"),
        ("lazy", "off"),
        ("lazy", "entropy"),
        ("lazy", "entropy,max_prob,distance,sink_mass,top_key"),
    )
]
NAMES = [
    *HEADS_64_AND_128,
    "lazy/64/entropy,max_prob,distance,sink_mass,top_key/BN64/STAGES4",
    "base/256/entropy",
]


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return compile_ahead("compiled_variants.py", NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_variant_compiles_and_its_products_are_asynchronous(compiled, name):
    facts = compiled[name]
    assert facts["matrix"] > 0
    assert facts["tf32"] == 0
    assert facts["spilled"] <= SPILLED.get(name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("head", [64, 128])
def test_the_lazy_rescale_issues_fewer_instructions_than_the_kernel(compile_ahead, compiled, head):
    base = compile_ahead("compiled_variants.py", [f"base/{head}/entropy"])
    lazy = compiled[f"lazy/{head}/entropy"]
    assert lazy["fma"] < base[f"base/{head}/entropy"]["fma"]
