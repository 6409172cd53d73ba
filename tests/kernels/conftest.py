"""What all kernel tests share: buffers that start as NaN, and kernels compiled without a GPU."""

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def compile_ahead(tmp_path_factory):
    """Runs compiled.py or its like on names: the facts of each kernel, without the interpreter."""
    assert find_spec("triton"), "triton is not installed"
    package = Path(find_spec("triton").origin).parent
    if not (package / "backends/nvidia/bin/cuobjdump").exists():
        pytest.skip("this triton brings no cuobjdump")
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))

    def facts(script, names):
        command = [sys.executable, HERE / script, *names]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HERE)
        assert done.returncode == 0, done.stderr[-2000:]
        return {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}

    return facts


@pytest.fixture
def poisoned(monkeypatch):
    """Every buffer that a kernel gets to fill starts as NaN."""
    empty = torch.empty

    def nan(*args, **kwargs):
        made = empty(*args, **kwargs)
        return made.fill_(math.nan) if made.is_floating_point() else made.fill_(-77)

    monkeypatch.setattr(torch, "empty", nan)
