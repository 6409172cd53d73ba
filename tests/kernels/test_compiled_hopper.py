"""Hopper's kernel compiles without spills, its products asynchronous, entropy one instruction."""

import pytest

from attentropy.kernels import tiles

NAMES = [f"sm_90/{head}/{variant}" for head in (64, 128) for variant in ("off", "entropy")]


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return compile_ahead("compiled_hopper.py", NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_spills_and_nothing_is_rounded_to_tf32(compiled, name):
    assert compiled[name]["spilled"] == 0
    assert compiled[name]["tf32"] == 0


@pytest.mark.parametrize("head", [64, 128])
def test_entropy_is_one_fused_multiply_add_per_score(compiled, head):
    off, entropy = compiled[f"sm_90/{head}/off"], compiled[f"sm_90/{head}/entropy"]
    tile = tiles._SPECIALIZED[head]
    scores = tile.groups * 3 * 64 * tile.keys // 128  # first tile and two loops, over the threads
    assert scores <= entropy["fma"] - off["fma"] <= 1.1 * scores
    assert entropy["exponentials"] == off["exponentials"]
    assert entropy["matrix"] == off["matrix"]
