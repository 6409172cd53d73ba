"""The machine that measurements are made on: its description and its measured upper bounds."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from attentropy.engine.measure.sampling import time_runs

_PACKAGES = (
    "attentropy", "torch", "triton", "flash-attn", "flash-attn-3", "liger-kernel",
    "cut-cross-entropy",
)  # fmt: skip
_SECONDS = 1.0  # of timing each upper bound


def describe_machine(device: str) -> dict[str, str]:
    """Return processor or GPU, current clocks, versions and time, by name."""
    facts = {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "load": _load(),
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    if device == "cuda":
        facts["cuda"] = str(torch.version.cuda)
        facts["cudnn"] = str(torch.backends.cudnn.version())
        facts["clocks"] = _clocks()
    return facts


def upper_bounds(device: str, dtype: str) -> dict[str, float]:
    """Return bytes per second of a copy (read and written) and FLOP/s of a square product.

    Call it before `describe_machine`, which then sees the clocks of a device at work.
    """
    large = 2**28 if device == "cuda" else 2**25
    side = 8192 if device == "cuda" else 2048
    copy, product = _copy_seconds(large, device), _product_seconds(side, device, dtype)
    if device == "cuda":
        torch.cuda.empty_cache()  # the processes that are compared need it
    return {"bytes_per_second": 2 * 4 * large / copy, "flops_per_second": 2 * side**3 / product}


def _copy_seconds(numbers: int, device: str) -> float:
    source = torch.empty(numbers, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    return median(time_runs(lambda: target.copy_(source), device, _SECONDS))


def _product_seconds(side: int, device: str, dtype: str) -> float:
    a = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    return median(time_runs(lambda: a @ a, device, _SECONDS))


def _load() -> str:
    """Return how busy the machine is with other things, where the system says so."""
    try:
        return f"{os.getloadavg()[0]:.1f} processes"
    except OSError:
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _clocks() -> str:
    query = "clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu,driver_version"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return f"{query}: {result.stdout.splitlines()[0]}" if result.stdout else "unknown"
