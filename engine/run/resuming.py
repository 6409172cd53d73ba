"""Where a run writes, and whether it starts there or continues an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.partial import PartialTrace


@contextmanager
def open_partial(
    output: str | Path | None, *, force: bool, resume: bool, keep_cache: bool
) -> Iterator[PartialTrace | None]:
    """Yield the unfinished run's folder next to `output`, None without an output.

    No other run writes there while this is open. With `force` what an earlier run left, and a trace
    at `output`, may be replaced. Raises `UsageError` for what cannot work.
    """
    if output is None:
        if resume or keep_cache:
            raise UsageError("`resume` and `keep_cache` need an `output`")
        yield None
        return
    partial = PartialTrace(Path(output))
    with partial.reserve(force=force):
        if resume:
            if not partial.exists():
                raise UsageError(f"nothing to resume: there is no {partial.folder.name!r}")
        elif partial.exists() and not force:
            raise UsageError(
                f"{partial.folder.name!r} is an unfinished run ({partial.progress().words}); use "
                "`resume=True` to continue it, or `force=True` to start over"
            )
        yield partial


def check_same(partial: PartialTrace, earlier: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise `UsageError` where the folder is that of another run, naming the first difference."""
    difference = first_difference({name: earlier.get(name) for name in facts}, dict(facts))
    if difference is not None:
        name, then, now = (str(part)[:60] for part in difference)
        raise UsageError(
            f"{partial.folder.name!r} belongs to another run: {name} was {then} and is now {now}; "
            "use `resume=True` with the same arguments as that run, or `force=True` to start over"
        )


def keep_implementation(described: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's facts where it stays with what computed the beginning, if it is continued."""
    if (earlier.get("implementation"), described["implementation"]) == ("portable", "native"):
        return described | {"implementation": "portable"}
    return described


def first_difference(earlier: Any, later: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Return the first difference between two descriptions of a run: (name, earlier, later).

    None where they are equal.
    """
    if isinstance(earlier, dict) and isinstance(later, dict):
        for key in (*earlier, *(key for key in later if key not in earlier)):
            inner = f"{name} {key}" if name else str(key)
            difference = first_difference(earlier.get(key), later.get(key), inner)
            if difference is not None:
                return difference
        return None
    return None if earlier == later else (name, earlier, later)
