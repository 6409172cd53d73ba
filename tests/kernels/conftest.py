"""Fixtures for all kernel tests: the interpreter's, NaN buffers, kernels compiled without a GPU."""

import math
import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

if find_spec("triton") is None:  # Windows and macOS have none
    assert not os.environ.get("CI"), "CI has no triton: the kernels were not tested"
    collect_ignore_glob = ["*"]
else:
    import ahead


@pytest.fixture(scope="session", autouse=True)
def _one_patch_per_launch():
    """Let Triton's interpreter patch its language once per launch and module.

    It would patch it again, to the same effect, at each call of one kernel function by another,
    which takes longer than what the function computes.
    """
    interpreter = find_spec("triton") and import_module("triton.runtime.interpreter")
    base = getattr(interpreter, "_LangPatchScope", None)
    if base is None:  # another version of triton
        yield
        return
    patch, patched = interpreter._patch_lang, set()

    class Scope(base):
        def restore(self):  # the end of a launch
            patched.clear()
            super().restore()

    def patch_once(fn):
        if fn.__module__ in patched:
            return Scope()
        patched.add(fn.__module__)
        return patch(fn)

    with pytest.MonkeyPatch.context() as replaced:
        replaced.setattr(interpreter, "_LangPatchScope", Scope)
        replaced.setattr(interpreter, "_patch_lang", patch_once)
        yield


@pytest.fixture(scope="session")
def compile_ahead(pytestconfig, tmp_path_factory):
    """Return a function that runs a script like compiled.py and caches the facts of its kernels."""
    package = Path(find_spec("triton").origin).parent
    if not (package / "backends/nvidia/bin/cuobjdump").exists():
        pytest.skip("this triton brings no cuobjdump")
    cache = getattr(pytestconfig, "cache", None)
    folder = cache.mkdir("kernels") if cache else tmp_path_factory.mktemp("kernels")
    key = ahead.digest()

    def facts(script, names):
        return ahead.compile_ahead(folder, ahead.HERE / script, names, key)

    return facts


@pytest.fixture
def poisoned(monkeypatch):
    """Fill every buffer that a kernel writes with NaN before the kernel runs."""
    empty = torch.empty

    def nan(*args, **kwargs):
        buffer = empty(*args, **kwargs)
        return buffer.fill_(math.nan) if buffer.is_floating_point() else buffer.fill_(-77)

    monkeypatch.setattr(torch, "empty", nan)
