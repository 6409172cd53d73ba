"""External programs that open the exported files: independent readers of SVG and PDF."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def tool(name: str) -> str:
    """Return the path of a program; without the program, skip the test or fail in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI has no {name}: the exported file was not opened")
        pytest.skip(f"no {name} here: install librsvg2-bin and poppler-utils")
    return path


def run(name: str, *arguments: object) -> bytes:
    """Run a program, which must succeed, and return its standard output."""
    return subprocess.run(
        [tool(name), *map(str, arguments)], check=True, capture_output=True
    ).stdout
