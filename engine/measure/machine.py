"""What the measurements were made on, and the ceilings that this machine itself shows."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from attentropy.engine.measure.sampling import seconds

_PACKAGES = (
    "attentropy", "torch", "triton", "flash-attn", "flash-attn-3", "liger-kernel",
    "cut-cross-entropy",
)  # fmt: skip
_SECONDS = 1.0  # of timing each ceiling


def describe(device: str) -> dict[str, str]:
    """Processor or GPU, clocks as they are now, versions, time."""
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "load": _load(),
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if device == "cuda":
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["clocks"] = _clocks()
    return found


def ceilings(device: str, dtype: str) -> dict[str, float]:
    """Bytes a second of a copy (read and written), and FLOP a second of a square product.

    Measured before `describe`, which then sees the clocks of a device at work.
    """
    large = 2**28 if device == "cuda" else 2**25
    side = 8192 if device == "cuda" else 2048
    copy, product = _copy_seconds(large, device), _product_seconds(side, device, dtype)
    if device == "cuda":
        torch.cuda.empty_cache()  # the rivals' processes want it
    return {"bytes_per_second": 2 * 4 * large / copy, "flops_per_second": 2 * side**3 / product}


def _copy_seconds(numbers: int, device: str) -> float:
    source = torch.empty(numbers, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    return median(seconds(lambda: target.copy_(source), device, _SECONDS))


def _product_seconds(side: int, device: str, dtype: str) -> float:
    a = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    return median(seconds(lambda: a @ a, device, _SECONDS))


def _load() -> str:
    """How busy the machine is with other things, where the system says it."""
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return f"{query}: {done.stdout.splitlines()[0]}" if done.stdout else "unknown"
