"""The one check of an output, made before any work: can it be written there, and what would go?"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from attentropy.engine import failures
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.output.ownership import RUN_SUFFIX, STORE_SUFFIX, is_own_store

_NAME_BYTES = 255  # of a name, where the system does not say
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}
_STORE_ENDINGS = (STORE_SUFFIX, RUN_SUFFIX)


def check_output(
    path: Path,
    *,
    force: bool = False,
    inputs: Iterable[str | Path | None] = (),
    suffix: str = "",
) -> Path:
    """Return what is written for `path`, which is what it leads to where it is a link.

    It is a folder for a name that ends in .zarr, and a file otherwise. force: a file, or a store
    that attentropy wrote, may be replaced; nothing else ever is, and no input. suffix: the longest
    that a run adds to the name. Raises `UsageError`.
    """
    try:
        real = _follow(path, suffix)
        check_apart(path, inputs)
        _check_folder(path, real)
        _check_present(path, real, force=force)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path.name[:80]!r}: {_words(error)}") from error
    return real


def denied(error: OSError, folder: Path) -> AttentropyError:
    """Return what says that nothing can be made in an output's folder."""
    message = f"cannot write to the output folder {str(folder)!r}"
    if error.errno in _DENIED:
        return UsageError(message)
    return AttentropyError(f"{message}: {_words(error)}")


def is_folder(path: Path) -> bool:
    """Return whether the output of this name is a folder."""
    return path.name.endswith(STORE_SUFFIX)


def follow_link(path: Path) -> Path:
    """Return what a link leads to; a path that is no link as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def check_apart(path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Raise `UsageError` where writing to `path` would change what is read from an input."""
    for source in inputs:
        _check_one(path, source)


def _check_one(path: Path, source: str | Path | None) -> None:
    if source is None or str(source) == "-" or not Path(source).exists():
        return
    target, origin = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    is_store = origin.is_dir() and origin.name.endswith(_STORE_ENDINGS)
    if target == origin or (path.exists() and path.samefile(source)):
        what = f"{path.name!r} is an input of this command"
    elif target in origin.parents:
        what = f"{path.name!r} contains the input {origin.name!r}"
    elif is_store and origin in target.parents:
        what = f"{path.name!r} would be written into the input {origin.name!r}"
    else:
        return
    raise UsageError(f"{what}, and an input is never overwritten; name another output")


def _follow(path: Path, suffix: str) -> Path:
    """Return what `path` leads to, once its name and its folder are known to be possible."""
    if path.name in ("", ".", ".."):
        raise UsageError(f"{str(path)!r} is a folder; name a file in it")
    folder = path.parent
    if not folder.is_dir():
        name = repr(str(folder)[:200])
        why = f"{name} is not a folder" if os.path.lexists(folder) else f"there is no folder {name}"
        home = "; ~ is not replaced by your home folder here" if str(path).startswith("~") else ""
        raise UsageError(f"cannot write {path.name[:80]!r}: {why}{home}")
    _check_length(path, suffix)
    if not path.is_symlink():
        return path
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise UsageError(f"{path.name!r} is a link to what does not exist; remove it") from None
        raise
    real = follow_link(path)
    _check_length(real, suffix)
    return real


def _check_length(path: Path, suffix: str) -> None:
    try:
        limit = os.pathconf(path.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        limit = _NAME_BYTES
    excess = len(os.fsencode(path.name + suffix)) - limit
    if excess > 0:
        raise UsageError(
            f"the name {path.name[:40] + '…'!r} is too long by {excess:,} bytes; shorten it"
        )


def _check_folder(path: Path, real: Path) -> None:
    """Raise `UsageError` where nothing can be made in the folder, or nothing should be."""
    for folder in real.absolute().parents:
        if folder.name.endswith(_STORE_ENDINGS) and (
            (folder / "zarr.json").exists() or (folder / "run.json").exists()
        ):
            raise UsageError(f"{path.name!r} would be written into {folder.name!r}, a trace")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise denied(PermissionError(errno.EACCES, ""), real.parent)


def _check_present(path: Path, real: Path, *, force: bool) -> None:
    """Raise `UsageError` where something is there that may not be replaced."""
    try:
        present = real.lstat()
    except FileNotFoundError:
        return
    name, as_folder = path.name, is_folder(path)
    if stat.S_ISDIR(present.st_mode):
        if not as_folder:
            raise UsageError(f"{name!r} is a folder; name a file")
    elif not stat.S_ISREG(present.st_mode):
        raise UsageError(f"{name!r} is a device or a pipe; name a file")
    elif as_folder:
        raise UsageError(f"{name!r} is a file, but the trace would be a folder; name another one")
    if not force:
        raise UsageError(f"{name!r} exists; use `force=True` to replace it")
    if as_folder and not is_own_store(real):
        raise UsageError(
            f"{name!r} has files that attentropy did not write, so it is not replaced; move it "
            "away, or name another output"
        )
    if not os.access(real, os.W_OK):
        raise UsageError(f"{name!r} is read-only, so it is not replaced; name another output")
    folder = real.parent.stat()
    is_ours = os.name != "posix" or os.geteuid() in (0, present.st_uid, folder.st_uid)
    if folder.st_mode & stat.S_ISVTX and not is_ours:
        raise UsageError(f"{name!r} belongs to another user, so it is not replaced")


def _words(error: Exception) -> str:
    return failures.line(error, named=False) or str(error)
