"""Facts about kernels compiled ahead of time, cached until the sources or the compiler change.

Compiling takes minutes, and the facts depend on nothing but the sources and the compiler: they are
stored under a digest of both. Triton's own cache is in the same folder, so that after a change only
what depends on it is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES = (
    "kernels/**/*.py",
    "tests/kernels/compiled*.py",
    "tests/kernels/uniform.py",
    "tests/benchmarks/variants/*.py",
)

Facts = dict[str, dict[str, object]]


def digest(root: Path = ROOT) -> str:
    """Return a digest of everything that decides what the kernels compile to."""
    parts = [version("triton"), sys.version]
    parts += [f"{name}={value}" for name, value in sorted(os.environ.items()) if _matters(name)]
    sources = sorted(path for pattern in SOURCES for path in root.glob(pattern))
    parts += [f"{path.relative_to(root)}\n{path.read_text('utf-8')}" for path in sources]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _matters(variable: str) -> bool:
    """Return whether an environment variable can change what Triton compiles."""
    return "TRITON" in variable and variable not in ("TRITON_INTERPRET", "TRITON_CACHE_DIR")


def compile_ahead(folder: Path, script: Path, names: Iterable[str], key: str) -> Facts:
    """Return the facts that `script` prints of the kernels `names`, from `folder` if stored.

    The facts are stored under `key`, a digest of what they depend on (`digest`). Only one process
    at a time runs a script, so that parallel tests do not compile a kernel twice.
    """
    store = folder / f"{script.stem}.json"
    with FileLock(store.with_suffix(".lock")):
        facts: Facts = {}
        if store.exists():
            stored = json.loads(store.read_text("utf-8"))
            facts = stored["facts"] if stored["key"] == key else {}
        if missing := [name for name in names if name not in facts]:
            facts |= _run(script, missing, folder / "triton")
            new = store.with_suffix(".new")
            new.write_text(json.dumps({"key": key, "facts": facts}), "utf-8")
            new.replace(store)
    return {name: facts[name] for name in names}


def _run(script: Path, names: list[str], cache: Path) -> Facts:
    """Run the script in a process without Triton's interpreter, which compiles nothing."""
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(cache)
    command = [sys.executable, str(script), *names]
    process = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HERE)
    assert process.returncode == 0, process.stderr[-2000:]
    return {one["name"]: one for one in map(json.loads, process.stdout.splitlines())}
