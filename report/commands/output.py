"""The result of a command: its place is checked first, and it is written whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.report.files import check_target, write_bytes, write_text
from attentropy.report.text import for_terminal
from attentropy.report.units import format_bytes

if TYPE_CHECKING:
    from attentropy.report.findings.finding import Observation

__all__ = ["check_target", "write_bytes", "write_text"]

Facts = Mapping[str, Any]
"""What a command says about its result, by name; JSON values."""

force_option = click.option("--force", is_flag=True, help="Replace what is there.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
redact_option = click.option(
    "--redact-tokens", is_flag=True,
    help="Write lengths and roles in place of all texts, and numbers in place of token ids.",
)  # fmt: skip


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, which is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def print_result(path: Path, facts: Facts, *, as_json: bool) -> None:
    """Print path and size of the result, or these and `facts` as one JSON object."""
    size = size_of(path)
    if as_json:
        click.echo(json_line({"path": str(path), "bytes": size, **facts}))
        return
    click.echo(f"{for_terminal(str(path))}  {format_bytes(size)}")


def print_findings(findings: Iterable[Observation]) -> None:
    """Print one line per finding."""
    for finding in findings:
        click.echo(f"- {for_terminal(finding.text)}")


def json_line(facts: Facts) -> str:
    """Return one JSON object that is safe to print on a terminal.

    Characters that could move the cursor or reverse the text are written as \\u…, and a number that
    is not finite becomes null.
    """
    text = json.dumps(_finite(facts), ensure_ascii=False, allow_nan=False)
    return "".join(c if for_terminal(c) == c else _escape(c) for c in text)


def _finite(value: Any) -> Any:
    """Return the JSON value with null for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
