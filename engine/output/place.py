"""The one way to write an output: reserve its place before the work, put it there in one step.

While a place is reserved, a hidden folder stands next to it: the lock, and room for what is not
complete yet. Whatever is at the place stays whole until the new output is, and both are on the disk
before one takes the other's name.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType

from attentropy.engine.errors import AttentropyError
from attentropy.engine.output import lock, recover
from attentropy.engine.output.check import check_output, denied, follow_link
from attentropy.engine.output.durable import sync, sync_all
from attentropy.engine.output.signals import held_back

_PREFIX = ".attentropy-"
_CHECKS, _CHECK = 5, 0.02  # how often, and each how many seconds later, for what comes late
_PATIENCE = 2.0  # seconds in which a run that replaces a folder is between its two renames


@dataclass
class Place:
    """A place that this run alone writes to.

    real: what is written, at the end of any link. force: what is there may be replaced. scratch: a
    folder on the same disk, removed with all that is in it when the place is given up.
    """

    path: Path
    real: Path
    force: bool
    scratch: Path
    _process: int = field(default_factory=os.getpid)

    def write(self, data: bytes) -> None:
        """Put a file there that has these bytes."""
        new = self.scratch / "new"
        new.write_bytes(data)
        self.put(new)

    def put(self, finished: Path, *, spent: Path | None = None, durable: bool = True) -> None:
        """Move a finished file or folder there in one step, and remove the folder `spent`.

        A process that is killed meanwhile leaves the old or the new output, or what `recover` needs
        to put the new one there. Raises `UsageError` where something came there in the meantime
        that may not be replaced.
        """
        check_output(self.path, force=self.force)
        keep_mode(finished, self.real)
        if durable:
            sync_all(finished)
        with held_back():
            if spent is not None or self.real.is_dir():
                recover.plan(self.scratch, self.real, finished, spent)
                recover.carry_out(self.scratch, self.real)
            else:
                os.replace(finished, self.real)
            if durable:
                sync(self.real.parent)

    def folder(self, name: str) -> Path:
        """Return a new empty folder in the scratch folder."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder next to the place; it loses its name before any of its files is gone."""
        away = self.folder("removed")
        folder.rename(away / "folder")
        shutil.rmtree(away, ignore_errors=True)


_open: dict[int, Place] = {}  # the places of this process, by what `lock.release` needs
_places: ContextVar[Mapping[str, Place]] = ContextVar("attentropy_places")


@contextmanager
def reserve(
    path: Path,
    *,
    force: bool = False,
    inputs: Iterable[str | Path | None] = (),
    suffix: str = "",
) -> Iterator[Place]:
    """Check a place, and keep other runs from writing to it while this is open.

    A place that the caller has reserved already is the same place. See `check_output` for the
    arguments. Raises `UsageError` where nothing can be written there, and `AttentropyError` where
    another run is writing there.
    """
    here = follow_link(path)
    key = os.path.abspath(here)
    earlier = _places.get({}).get(key)
    if earlier is not None and earlier._process == os.getpid():
        yield earlier
        return

    def check() -> Path:
        return check_output(path, force=force, inputs=inputs, suffix=suffix)

    real = check()
    scratch = scratch_folder(real)
    place = Place(path, real, force, scratch)
    with ExitStack() as stack:
        with held_back():
            try:
                handle = lock.take(scratch, real.name)
            except OSError as error:
                raise denied(error, real.parent) from error
            _open[handle] = place
            stack.push(partial(_give_up, handle))
            recover.carry_out(scratch, real)
            _empty(scratch)
        check()  # again: another run may have ended meanwhile
        _places.set({**_places.get({}), key: place})
        stack.callback(_forget, key)
        yield place


def _give_up(
    handle: int,
    kind: type[BaseException] | None = None,
    error: BaseException | None = None,
    trace: TracebackType | None = None,
) -> None:
    place = _open[handle]
    if place._process == os.getpid():  # not in a forked child
        with held_back():
            try:
                _empty(place.scratch)
                # Threads that write for the run are not told that it ends.
                for _ in range(_CHECKS if error is not None else 0):
                    time.sleep(_CHECK)
                    _empty(place.scratch)
            finally:  # no handle may be left to list it with
                lock.release(handle, place.scratch)
                del _open[handle]


@atexit.register
def _give_up_all() -> None:
    """Give up the places of which a signal came just before `_give_up` held it back."""
    for handle in [*_open]:
        with suppress(OSError):
            _give_up(handle)


def _forget(key: str) -> None:
    _places.set({name: place for name, place in _places.get({}).items() if name != key})


def repair(path: Path) -> None:
    """Complete what a killed run left between the renames that replace `path`, if there is such.

    Where a run is between them at this moment, wait for it.
    """
    scratch = scratch_folder(follow_link(path))
    until = time.monotonic() + _PATIENCE
    while recover.is_planned(scratch) and not os.path.lexists(path):
        if complete(path) or time.monotonic() > until:
            return
        time.sleep(0.01)


def complete(path: Path) -> bool:
    """Complete what a killed run planned for `path`; return whether no run is writing there."""
    scratch = scratch_folder(follow_link(path))
    if recover.is_planned(scratch) and lock.is_free(scratch):
        # Where it may not be written, this user may only read there.
        with suppress(AttentropyError, OSError), reserve(path, force=True):
            pass
        return True
    return not recover.is_planned(scratch)


def scratch_folder(real: Path) -> Path:
    """Return the hidden folder of a place.

    Names that some file systems take for the same one have the same folder.
    """
    name = unicodedata.normalize("NFC", real.name).casefold()
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    return real.with_name(_PREFIX + digest)


def keep_mode(new: Path, old: Path) -> None:
    """Give a new output the mode of the one that it replaces, and the owner and group if allowed.

    Without the group, the group's permissions are no more than everybody's.
    """
    try:
        status = old.lstat()
    except FileNotFoundError:
        return
    own, mode = new.lstat(), stat.S_IMODE(status.st_mode)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        for uid, gid in ((status.st_uid, status.st_gid), (-1, status.st_gid)):
            try:
                os.chown(new, uid, gid)
                break
            except (AttributeError, OSError):
                continue
        if new.lstat().st_gid != status.st_gid:
            mode &= ~0o7070 | ((mode & 0o007) << 3)
    new.chmod(mode)


def _empty(scratch: Path) -> None:
    """Remove all but the lock, as far as it is there."""
    names: list[str] = []
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(scratch) if name != lock.NAME]
    for name in names:
        entry = scratch / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
