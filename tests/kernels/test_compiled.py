"""The kernel compiles to machine code for each GPU family, and its blocks fit into registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WANTED = [  # architecture, head size, bytes or registers that may spill
    ("sm_80", 64, 0),
    ("sm_80", 128, 32),  # before and after the loops, none within
    ("sm_80", 256, 8),  # likewise
    ("sm_90", 64, 0),
    ("sm_90", 128, 0),
    ("sm_90", 80, 0),
    ("sm_90", 256, 160),  # one load in the loop of the keys that all see
    ("sm_100", 64, 0),
    ("sm_100", 128, 0),
    ("sm_100", 256, 0),
    ("gfx942", 64, 0),
    ("gfx942", 128, 0),
]


@pytest.fixture(scope="module")
def spilled(tmp_path_factory):
    """What each kernel spills, all compiled in one process, without the interpreter."""
    assert find_spec("triton"), "triton is not installed"
    package = Path(find_spec("triton").origin).parent
    if not (package / "backends/nvidia/bin/cuobjdump").exists():
        pytest.skip("this triton brings no cuobjdump")
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, HERE / "compiled.py"]
    command += [str(word) for architecture, head, _ in WANTED for word in (architecture, head)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HERE)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(one["architecture"], one["head"]): one["spilled"] for one in found}


@pytest.mark.parametrize(("architecture", "head", "allowed"), WANTED)
def test_blocks_fit_into_registers(spilled, architecture, head, allowed):
    assert spilled[architecture, head] <= allowed
