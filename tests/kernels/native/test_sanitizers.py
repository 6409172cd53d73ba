"""The C code reads and writes its own memory alone, and does nothing that C leaves undefined."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_sanitizers_have_nothing_to_say(tmp_path):
    compiler = shutil.which("gcc")
    if compiler is None:
        assert not os.environ.get("CI"), "CI has no gcc: the C code was not checked"
        pytest.skip("no gcc, whose sanitizers are used")
    runtime = [
        subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = os.environ | {
        "CC": f"{compiler} -g -fsanitize=address,undefined -fno-sanitize-recover=all",
        "LD_PRELOAD": " ".join(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",
        "ATTENTROPY_NATIVE": "1",
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE.parent), str(HERE.parents[1])]),
    }
    run = subprocess.run(
        [sys.executable, HERE / "sanitized.py", "300"], capture_output=True, text=True,
        env=environment, timeout=1200,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout == "252 calls\n"
    assert b"__asan" in next((tmp_path / "attentropy").iterdir()).read_bytes()
