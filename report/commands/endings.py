"""The endings of file names, which say what is in a file: a trace, a page, a figure or numbers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from attentropy.engine.errors import UsageError

TRACE_ENDINGS = (".zarr", ".zarr.zip")
STORE_ENDINGS = (*TRACE_ENDINGS, ".partial")
PAGE_ENDINGS = (".html", ".htm")
RESULT_ENDINGS = (".json",)
FIGURE_FORMATS = ("svg", "png", "pdf", "csv")
FIGURE_ENDINGS = tuple(f".{name}" for name in FIGURE_FORMATS)

_KINDS = {
    "a trace": STORE_ENDINGS,
    "a page": PAGE_ENDINGS,
    "a figure": FIGURE_ENDINGS,
    "results": RESULT_ENDINGS,
}

Elsewhere = Mapping[str, str]
"""What writes the other kinds of file ("a trace", "a page", "a figure"): command lines."""


def check_ending(path: Path, endings: tuple[str, ...], elsewhere: Elsewhere) -> None:
    """Raise `UsageError` where the name of an output is not that of what a command writes.

    The message names the command of `elsewhere` that writes a file of that name.
    """
    name = path.name.lower()
    if name.endswith(endings):
        if name.endswith(TRACE_ENDINGS) and not path.name.endswith(TRACE_ENDINGS):
            raise UsageError(f"{path.name!r}: write the ending of a trace in small letters")
        return
    kind = next((kind for kind, ends in _KINDS.items() if name.endswith(ends)), "")
    wanted = ", ".join(ending for ending in endings if ending != ".htm")
    message = f"{path.name!r}: this command writes a file that ends in {wanted}"
    if kind in elsewhere:
        message += f"; {kind} is written by: {elsewhere[kind]}"
    raise UsageError(message)


def refuse_store(model: str | None, *, advice: str) -> None:
    """Raise `UsageError` where a store of ours is given as a MODEL. `advice`: what to do with it.

    "{}" in it stands for the store, quoted for a shell.
    """
    if model is None or not model.rstrip("/").endswith(STORE_ENDINGS):
        return
    path = Path(model)
    if not path.exists():
        raise UsageError(f"{path.name!r}: no such file or folder (and not the name of a model)")
    is_unfinished = path.name.endswith(".partial")
    what = "an unfinished trace" if is_unfinished else "a trace"
    option = " --partial" * is_unfinished
    advice = advice.format(shlex.quote(str(path)) + option)
    raise UsageError(f"{path.name!r} is {what}, not a model; {advice}")


def stem(path: Path) -> str:
    """Return the name of a store without its endings: `t` for `t.zarr.zip`."""
    name = path.name.removesuffix(".partial")
    for ending in reversed(TRACE_ENDINGS):
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name
