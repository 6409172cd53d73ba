"""Programs that open what was written: an independent reader of SVG and of PDF."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def tool(name: str) -> str:
    """Where a program is; skipped visibly without it, failed in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI has no {name}: the exported file was not opened")
        pytest.skip(f"no {name} here: install librsvg2-bin and poppler-utils")
    return path


def run(name: str, *arguments: object) -> bytes:
    """What a program that succeeds writes to its output."""
    return subprocess.run(
        [tool(name), *map(str, arguments)], check=True, capture_output=True
    ).stdout
