"""What the measurements were made on, and the ceilings that this machine itself shows."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.bench.measure import seconds


def describe(device: str) -> dict[str, Any]:
    """Processor or GPU, clocks, versions, time."""
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name in ("attentropy", "torch", "triton", "flash-attn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if device == "cuda":
        found["cuda"] = torch.version.cuda
        found["clocks"] = _clocks()
    return found


def ceilings(device: str, dtype: str) -> dict[str, float]:
    """Bytes a second of a copy (read and written), and FLOP a second of a square product."""
    large = 2**28 if device == "cuda" else 2**25
    side = 8192 if device == "cuda" else 2048
    source = torch.empty(large, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    a = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    copy = sorted(seconds(lambda: target.copy_(source), device))
    product = sorted(seconds(lambda: a @ a, device))
    return {
        "bytes_per_second": 2 * 4 * large / copy[len(copy) // 2],
        "flops_per_second": 2 * side**3 / product[len(product) // 2],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _clocks() -> str | None:
    query = "clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu,driver_version"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{query}: {done.stdout.splitlines()[0]}" if done.stdout else None
