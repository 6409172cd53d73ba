"""The file of `--segments`: names for parts of a prompt, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace.checks.json_text import MAX_BYTES, parse_json
from attentropy.engine.trace.checks.regular import read_named
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference


def read_segments(name: str, argument: str = "segments") -> Any:
    """Return what the file holds; `engine.trace.segments` checks it. Raises `UsageError`."""
    path = Path(name)
    try:
        text = read_named(path, MAX_BYTES).decode("utf-8-sig")
        return parse_json(text)
    except TraceError as error:
        raise UsageError(f"`{argument}`: {error}") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"`{argument}`: {path.name!r} cannot be read ({reason})") from error
    except ValueError as error:
        raise UsageError(f"`{argument}`: {path.name!r} is not a JSON file in UTF-8") from error


def name_segments(trace: Trace, name: str) -> Trace:
    """Return the trace with the segments of a file. Raises `UsageError`."""
    if isinstance(trace, Difference):
        raise UsageError("`segments` does not apply to a comparison")
    return trace.with_segments(read_segments(name))
