"""A trace can be read, written and recorded into without torch."""

import os
import subprocess
import sys
from pathlib import Path

from attentropy.engine import trace

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
