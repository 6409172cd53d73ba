"""Keep a result that took long where it cannot be written or drawn after all."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attentropy.engine import failures


class Remains(str):
    """The note of an error that says what is kept, where, and what to do with it."""


@contextmanager
def on_failure(
    what: str,
    save: Callable[[Path], object],
    target: Path,
    ending: str,
    then: str,
    *,
    saved: Path | None = None,
) -> Iterator[None]:
    """Save a result where the work in this context fails or is interrupted.

    what: "the trace". save: writes it, whole or not at all, to a path that it takes. It is
    next to `target` with the name's `ending`, or in the folder for temporary files where that fails
    too. then: the command that uses it, with "{}" for the path. saved: where the result is already,
    so that it is only named. The error gets a note, `Remains`.
    """
    try:
        yield
    except BaseException as error:
        if saved is not None:
            error.add_note(_note(what, saved, then))
        else:
            error.add_note(_keep(what, save, target, ending, then))
        raise


def remains(error: BaseException) -> str:
    """Return what an error's notes say is kept, "" for nothing."""
    notes = getattr(error, "__notes__", [])
    return "; ".join(note for note in notes if isinstance(note, Remains))


def _note(what: str, path: Path, then: str) -> Remains:
    """Return the note about a result that is at `path`."""
    verb = "are" if what.endswith("s") else "is"
    return Remains(f"{what} {verb} in {path}; {then.format(shlex.quote(str(path)))}")


def _keep(
    what: str, save: Callable[[Path], object], target: Path, ending: str, then: str
) -> Remains:
    why = ""
    for folder in _folders(target):
        path = _free_name(folder, target, ending)
        try:
            save(path)
        # Whatever fails here must not hide the error that is under way.
        except Exception as error:
            why = failures.reason(error) or type(error).__name__
        else:
            return _note(what, path, then)
    return Remains(f"{what} could not be kept ({why})")


def _folders(target: Path) -> Iterator[Path]:
    """Yield the folders to try: that of the target unless it is standard output, temporary ones."""
    yield Path() if str(target) == "-" else target.parent
    try:
        yield Path(tempfile.gettempdir())
    except OSError:  # there is none
        return


def _free_name(folder: Path, target: Path, ending: str) -> Path:
    """Return a path of which nothing is there: `report.zarr.zip`, `report-2.zarr.zip`, …"""
    stem = "attentropy" if str(target) == "-" else target.name.partition(".")[0] or "attentropy"
    stem, number = stem[:100], 1
    path = folder / f"{stem}{ending}"
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
