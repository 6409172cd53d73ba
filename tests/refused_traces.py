"""Traces that are refused: as archives, and by an error of one line that names the file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace


def assert_refused(path: Path, message: str, name: str | None = None) -> None:
    """Assert that a trace, or its variable `name`, is refused in one line with the message."""
    with pytest.raises(TraceError, match=message) as error:
        _read(path, name)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(path.name)


def _read(path: Path, name: str | None) -> object:
    trace = Trace.open(path)
    return trace if name is None else trace[name]


def archive_of(
    folder: Path,
    path: Path,
    change: Callable[[zipfile.ZipFile], object] | None = None,
    kind: int = zipfile.ZIP_STORED,
) -> Path:
    """Pack the store in `folder` into an archive at `path`, which `change` may add to."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
        if change is not None:
            change(archive)
    return path
