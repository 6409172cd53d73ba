"""Stand-ins for a GPU, by which `measure.py --dry-run` runs every line but the kernels' own.

Kernels are called with the arguments that they get on a GPU and only have to accept them; their
buffers stay as they are, so the errors and times that a dry run prints mean nothing.
"""

from __future__ import annotations

import inspect
import os
import tempfile
import time
from pathlib import Path
from types import ModuleType

import torch
from triton.runtime.jit import JITFunction

_OPTIONS = ("num_warps", "num_stages", "grid", "warmup")
_PROGRAMS = {
    "nvidia-smi": "for i in $(seq 40); do echo 1500, 300.0; sleep 0.05; done",
    "ncu": """while [ "$1" != --log-file ]; do shift; done
printf '"ID","Metric Name","Metric Value"\\n"0","Duration","1"\\n' > "$2" """,
}


class _Event:
    """A CUDA event that a CPU's clock stands for."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, other: _Event) -> float:
        return 1000 * (other.at - self.at) + 1e-3


def _run(kernel: JITFunction, *args: object, **options: object) -> None:
    """Raise `TypeError` unless the kernel takes these arguments."""
    own = {name: value for name, value in options.items() if name not in _OPTIONS}
    inspect.signature(kernel.fn).bind(*args, **own)


def install(measure: ModuleType, others: ModuleType, variants: ModuleType) -> None:
    """Replace the GPU, its programs and the sizes of what is measured."""
    folder = Path(tempfile.mkdtemp())
    for name, body in _PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    torch.cuda.Event = _Event  # type: ignore[misc,assignment]
    torch.cuda.synchronize = lambda *args: None
    torch.cuda.get_device_name = lambda *args: "none: a dry run"  # type: ignore[assignment]
    JITFunction.run = _run  # type: ignore[method-assign,assignment]
    variants.DEVICE, variants.SHRINK, variants.SHARE = "cpu", 256, -1e9
    # One of each variant, with entropy alone and with more.
    some = [job for job in reversed(variants.JOBS) if job[2]]
    variants.JOBS[:] = {(job[0], len(job[2]) > 1): job for job in some}.values()
    measure.CASES[:] = [case for case in measure.CASES if case[-2] in ("ramp", "nan")]
    others.SIZES[:] = [(8, 16, 64)]
