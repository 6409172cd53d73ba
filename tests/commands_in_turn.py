"""Every command that writes, as a process of its own, which may be stopped while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from traces import synthetic

TEXT = "Paris is a city, and Canberra is another one. " * 30
# Each command with its output; "@" stands for the folder of its inputs.
WRITING = {
    "report": ["report", "-p", TEXT, "-o", "r.html", "--save-trace", "r.zarr"],
    "extract": ["extract", "-p", TEXT, "--chunk", "32", "-o", "t.zarr.zip"],
    "extract folder": ["extract", "-p", TEXT, "--chunk", "32", "-o", "t.zarr"],
    "extract redacted": ["extract", "-p", TEXT, "--redact-tokens", "-o", "t.zarr"],
    "render": ["render", "@a.zarr", "-o", "p.html"],
    "export": ["export", "@a.zarr", "-o", "f.pdf"],
    "compare": ["compare", "@a.zarr", "@b.zarr", "-o", "c.html"],
    "compare trace": ["compare", "@a.zarr", "@b.zarr", "-o", "c.zarr"],
    "profile": ["profile", "--tokens", "64", "-o", "m.html"],
    "lens": ["lens", "fit", "@model", "--text", "@text.txt", "-o", "l.lens.safetensors"],
    "bench": [
        "bench", "-n", "64", "--heads", "1/1", "-d", "16", "-o", "b.json", "--html", "b.html",
    ],
}  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Write what the commands read."""
    from attentropy.engine import demo

    for seed, name in enumerate(("a.zarr", "b.zarr")):
        synthetic(layers=2, heads=2, window=False, seed=seed).save(folder / name)
    (folder / "text.txt").write_text(TEXT * 4)
    (folder / "model").symlink_to(demo.path())


def start(command: str, inputs: Path, here: Path, *options: str) -> subprocess.Popen[str]:
    """Start a command in the folder `here`, in a session of its own."""
    arguments = [part.replace("@", f"{inputs}/") for part in WRITING[command]]
    return subprocess.Popen(
        [sys.executable, "-m", "attentropy.report.cli", *arguments, *options], cwd=here, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_until_it_writes(process: subprocess.Popen[str], here: Path) -> bool:
    """Wait until a command has reserved its output; return whether it still runs then."""
    while process.poll() is None:
        if any(p.name.startswith(".attentropy-") and any(p.iterdir()) for p in here.iterdir()):
            return True
        time.sleep(0.005)
    return False


def has_ended(process: subprocess.Popen[str]) -> bool:
    """Return whether a command has ended with all processes that it started."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False
