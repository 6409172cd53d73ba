"""The vocabulary kernel compiles to machine code for each GPU family and fits into registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Bytes (NVIDIA) or registers (AMD) that may spill. What spills does so once for each block of
# logits, around the statistics, and never in the loop of products.
WANTED = {
    "sm_80/entropy": 0,
    "sm_80/few": 0,
    "sm_80/kl": 0,
    "sm_90/off": 0,
    "sm_90/entropy": 0,
    "sm_90/top5": 0,
    "sm_90/lens": 264,  # with triton 3.6; 64 with 3.7
    "sm_90/few": 0,
    "sm_90/kl": 0,
    "sm_90/pointers": 0,
    "sm_90/float32": 0,
    "sm_100/entropy": 0,
    "sm_100/lens": 0,
    "gfx942/lens": 0,
    "gfx942/float32": 0,
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The facts of each kernel, all compiled in one process, without the interpreter."""
    assert find_spec("triton"), "triton is not installed"
    package = Path(find_spec("triton").origin).parent
    if not (package / "backends/nvidia/bin/cuobjdump").exists():
        pytest.skip("this triton brings no cuobjdump")
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, HERE / "compiled_vocabulary.py", *WANTED]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HERE)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["name"]: one for one in found}


@pytest.mark.parametrize("name", WANTED)
def test_blocks_fit_into_registers(compiled, name):
    assert compiled[name]["spilled"] <= WANTED[name]


@pytest.mark.parametrize("name", [name for name in WANTED if name.endswith("float32")])
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
    assert entropy["instructions"] - off["instructions"] <= 1.5 * logits
