"""Where a result goes: checked before the work, written whole or not at all, then told."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from attentropy.engine.errors import UsageError
from attentropy.report.text import plain
from attentropy.report.units import human

F = TypeVar("F", bound=Callable[..., Any])


def check_target(path: Path, *, force: bool) -> Path:
    """Refuse a target that could not be written in the end. Raises `UsageError`."""
    if not path.parent.is_dir():
        raise UsageError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
    if path.is_dir() and not path.name.endswith(".zarr"):
        raise UsageError(f"{path.name!r} is a folder; name a file with -o")
    if path.exists() and not force:
        raise UsageError(f"{path.name!r} exists; give --force to replace it")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder of {path.name!r} cannot be written to")
    return path


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o666 & ~umask)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path` for as long as the work takes."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def redact_option(function: F) -> F:
    """`--redact-tokens`, where a page or a trace is written."""
    made: F = click.option(
        "--redact-tokens", is_flag=True,
        help="Write lengths and roles in place of all texts, and numbers in place of token ids.",
    )(function)  # fmt: skip
    return made


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def tell(path: Path, facts: dict[str, Any], *, as_json: bool) -> None:
    """Print where the result is and how large, or everything as one JSON object."""
    size = size_of(path)
    if as_json:
        click.echo(json_line({"path": str(path), "bytes": size} | facts))
        return
    click.echo(f"{plain(str(path))}  {human(size)}")


def json_line(facts: Mapping[str, Any]) -> str:
    """One JSON object that a terminal may show: what could move its cursor or turn its text around
    is written as \\u…, and a number that is none is null."""
    text = json.dumps(_finite(facts), ensure_ascii=False, allow_nan=False)
    return "".join(c if plain(c) == c else _escaped(c) for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]
