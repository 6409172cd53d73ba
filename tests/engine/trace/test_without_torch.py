"""A trace can be read, written and recorded into without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import attentropy
from attentropy.engine import trace
from attentropy.engine.errors import install_command

ROOM = Path(trace.__file__).parent
CODE = """
import importlib, sys
sys.modules["torch"] = sys.modules["transformers"] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
import numpy as np
from attentropy.engine.trace.layout import ArrayLayout
from attentropy.engine.trace.sinks import MemorySink
sink = MemorySink()
sink.create("entropy", ArrayLayout(("layer",), (2,), np.dtype(np.float32), {}))
sink.put("entropy", (1,), np.ones(()))
print(sink.arrays["entropy"].tolist())
"""


def test_no_module_of_the_trace_needs_torch():
    files = [file.relative_to(ROOM).with_suffix("") for file in ROOM.rglob("*.py")]
    names = [f"attentropy.engine.trace.{'.'.join(file.parts)}" for file in files]
    command = [sys.executable, "-c", CODE, *(n.removesuffix(".__init__") for n in names)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[-1.0,", "1.0]"]


@pytest.mark.costly
def test_what_needs_torch_says_in_one_line_what_to_install():
    code = """
import sys
sys.modules["torch"] = None
import attentropy
for name in attentropy.__all__:
    try:
        getattr(attentropy, name)
    except ImportError as error:
        print(name, "|", error)
try:
    from attentropy import extract
except ImportError as error:
    print("from |", error)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    lines = dict(line.split(" | ") for line in done.stdout.splitlines())
    assert set(lines) == {*attentropy.__all__, "from"} - {"Trace", "compare", "export"}
    for name, words in lines.items():
        own = "extract" if name == "from" else name
        assert words.startswith(f"attentropy.{own} needs torch, which is not installed; ")
        assert words.endswith(f"run: {install_command('extract')}")
