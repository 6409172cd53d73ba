"""The script that a GPU runs once works before there is one: each step in miniature on a CPU."""

import os
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/benchmarks/gpu.sh"


def _dry_run(folder, *steps):
    command = ["bash", str(SCRIPT), "--dry-run", str(folder), *steps]
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def _steps():
    text = SCRIPT.read_text("utf-8")
    default = re.search(r"steps=\$\{\*:-(.*)\}", text)[1].split()
    return default, re.findall(r"^    ([a-z0-9-]+)\)", text, re.M)


def test_every_default_step_exists_and_stands_in_the_usage():
    default, steps = _steps()
    assert set(default) < set(steps)
    assert f"(default: {' '.join(default)})" in SCRIPT.read_text("utf-8")


def test_the_steps_that_matter_most_fit_into_the_time():
    text = SCRIPT.read_text("utf-8")
    limits = [int(limit) for limit in re.findall(r"^ +step (\d+) ", text, re.M)]
    seconds = int(re.search(r"GPU_SECONDS:-(\d+)", text)[1])
    assert sum(limits[:3]) <= seconds <= 720  # variants, tests, prefill


def test_an_unknown_step_is_named(tmp_path):
    done = _dry_run(tmp_path / "out", "nothing")
    assert done.returncode == 2
    assert "no step nothing" in done.stdout


def test_every_command_that_a_gpu_would_run_is_one_that_the_program_takes(tmp_path):
    """A stub prints the commands in place of Python, each is parsed and none is run."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, body in {"python": 'printf "%s\\037" "$@"; echo', "nvidia-smi": "echo none"}.items():
        (stubs / name).write_text(f"#!/bin/sh\n{body}\n")
        (stubs / name).chmod(0o755)
    path = f"{stubs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHON": str(stubs / "python"), "PATH": path}
    _, steps = _steps()
    command = ["bash", str(SCRIPT), str(tmp_path / "out"), *steps]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    lines = [line.split("\x1f")[:-1] for line in done.stdout.splitlines() if "\x1f" in line]
    parsed = Counter()
    for arguments in lines:
        if arguments[:2] == ["-m", "attentropy.report.cli"]:
            module = import_module(f"attentropy.report.commands.{arguments[2]}")
            module.command.make_context(arguments[2], arguments[3:])
            parsed[arguments[2]] += 1
        elif arguments[0].endswith(".py"):
            assert (ROOT / arguments[0]).exists()
        elif arguments[:2] == ["-m", "pytest"]:
            assert all((ROOT / name).exists() for name in arguments if name.startswith("tests/"))
    assert parsed["bench"] >= 5
    assert parsed["profile"] >= 3


@pytest.mark.costly
@pytest.mark.slow
def test_the_variants_are_measured_by_code_that_runs(tmp_path):
    done = _dry_run(tmp_path / "out", "variants")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    names = re.findall(r"^-- (\w+): \d+ s", done.stdout, re.M)
    assert names == [
        "compile_all", "check", "time_forward", "count_stalls", "time_sweep", "time_vocabulary",
    ]  # fmt: skip
    notes = [line for line in done.stdout.splitlines() if line.startswith("notes")]
    assert all("cudnn" in line or "ncu" in line for line in notes), notes
    assert (tmp_path / "out/variants/measure.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", [name for name in _steps()[1] if name != "variants"])
def test_a_step_runs_in_miniature(tmp_path, step):
    done = _dry_run(tmp_path / "out", step)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "not enough time" not in done.stdout
