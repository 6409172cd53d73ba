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
from attentropy.engine.measure import machine
from attentropy.kernels.ops import attention
from attentropy.report import vega
from attentropy.report.cli import main

machine._SECONDS = 0.0  # what is measured is not read
vega.bundle = lambda: ""  # nor is the page opened, and this takes two seconds

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


def test_everything_runs_without_triton_and_what_needs_it_says_so(tmp_path):
    """One process for all of it: importing the libraries takes most of the time."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRITON], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    runs, named, modules = json.loads(done.stdout.splitlines()[-1])
    extract, render, info, bench, bench_on_a_gpu = runs
    assert [code for code, _, _ in (extract, render, info, bench)] == [0] * 4, runs
    facts = json.loads(info[1])
    assert facts["packages"]["triton"] is None
    assert facts["attention"].startswith(("native", "portable"))
    assert modules == []
    assert bench_on_a_gpu == [
        1, "", f"error: bench on a GPU needs triton; run: {install_command('gpu')}\n"
    ]  # fmt: skip
    assert named.endswith("impl='triton' needs triton, which is not installed")
