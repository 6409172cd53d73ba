"""Without Triton everything runs on a CPU, and what needs it says so in one line."""

import json
import subprocess
import sys

import pytest

from attentropy.engine.errors import install_command

pytestmark = pytest.mark.costly

# A process in which Triton is as if it were not installed: it is found neither as a module nor as a
# package. Its commands, the last one's error, and what was imported go to standard output.
WITHOUT_TRITON = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from importlib.machinery import PathFinder

def without(find):
    return lambda name, *rest, **more: (
        None if name.split(".")[0] == "triton" else find(name, *rest, **more)
    )

PathFinder.find_spec = without(PathFinder.find_spec)
from_name = metadata.Distribution.from_name

def distribution(name):
    if name == "triton":
        raise metadata.PackageNotFoundError(name)
    return from_name(name)

metadata.Distribution.from_name = distribution

import torch
from attentropy.kernels.ops import attention
from attentropy.report.cli import main

def run(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(words))
    return code, out.getvalue(), err.getvalue()

runs = [
    run("extract", "-o", "t.zarr.zip"),
    run("render", "t.zarr.zip", "-o", "t.html"),
    run("info", "--json"),
    run("bench", "-n", "16", "--rival", "ours*", "--seconds", "0", "--json"),
]
try:
    attention(*torch.ones(3, 1, 1, 4, 8), impl="triton")
except ImportError as error:
    named = str(error)
torch.cuda.is_available = lambda: True
runs.append(run("bench"))
print(json.dumps([runs, named, sorted(name for name in sys.modules if name[:6] == "triton")]))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return (exit code, output, errors) of each run, the error of a named `impl`, and modules."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRITON], cwd=tmp_path_factory.mktemp("runs"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_extract_render_and_info_run(results):
    runs, _, modules = results
    assert [code for code, _, _ in runs[:3]] == [0, 0, 0], runs
    facts = json.loads(runs[2][1])
    assert facts["packages"]["triton"] is None
    assert facts["attention"] == "portable"
    assert modules == []


def test_bench_measures_a_cpu_and_refuses_a_gpu_with_the_command_that_installs_it(results):
    runs, _, _ = results
    assert runs[3][0] == 0, runs[3][2]
    code, out, error = runs[4]
    assert (code, out) == (1, "")
    assert error == f"error: bench on a GPU needs triton; run: {install_command('gpu')}\n"


def test_naming_the_kernels_says_that_triton_is_not_installed(results):
    assert results[1].endswith("impl='triton' needs triton, which is not installed")
