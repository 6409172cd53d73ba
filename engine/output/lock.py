"""One run at a time writes to a place; a second is told which process does.

The lock is a file in a hidden folder next to the output. The kernel locks it (`flock`) and unlocks
it when the process ends, however it ends, so a file that is not locked is what a killed run left.
What is in the file tells people who is writing, and stands in where a file system has no locks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from attentropy.engine.errors import AttentropyError
from attentropy.engine.output.ownership import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "writer.json"
_FORMAT = "attentropy.writer"
# What runs make in the folder. A thread of a run that ends may write on after the lock is gone.
_INNER = {
    "lens", "new", "packed", "plan.json", "plan.json.new", "ready", "removed", "replaced",
    "run", "spent", "start", "store",
}  # fmt: skip
_TRIES = 1000  # each after another run removed the folder at that moment
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_BOOT = Path("/proc/sys/kernel/random/boot_id")

_handles: set[int] = set()


def take(folder: Path, target: str) -> int:
    """Make the folder and lock it for the output `target`; return what `release` needs.

    Raises `AttentropyError` where another run has it, and `OSError`.
    """
    for _ in range(_TRIES):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            _check_own(folder, target)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(folder / NAME, flags, 0o600)
        except FileNotFoundError:  # another run removed the folder
            continue
        except OSError:
            _remove_empty(folder)
            raise
        try:
            _lock(handle, folder, target)
            if _is_at(handle, folder / NAME):
                try:
                    _write(handle, target)
                except BaseException:  # such as a full disk
                    (folder / NAME).unlink(missing_ok=True)
                    _remove_empty(folder)
                    raise
                _handles.add(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise AttentropyError(f"another run is writing to {target!r}; try again")


def release(handle: int, folder: Path) -> None:
    """Remove the lock and its folder, which is empty otherwise."""
    try:
        (folder / NAME).unlink(missing_ok=True)
    finally:
        _handles.discard(handle)
        os.close(handle)
    _remove_empty(folder)


def is_free(folder: Path) -> bool:
    """Return whether no run has the folder."""
    try:
        handle = os.open(folder / NAME, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        _lock(handle, folder, "")
    except (AttentropyError, OSError):
        return False
    finally:
        os.close(handle)
    return True


def _lock(handle: int, folder: Path, target: str) -> None:
    """Lock the file. Raises `AttentropyError` where another run has it or may have it."""
    earlier = read_json(folder / NAME)
    name, folder_name = str(earlier.get("target") or target), folder.name
    has_locks = fcntl is not None
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise _busy(name, _who(_read_again(folder))) from None
            has_locks = False
    if not earlier:
        return
    if not _is_here(earlier):
        raise _busy(name, _who(earlier), f"delete the folder {folder_name} if it has ended")
    if not has_locks and _is_running(earlier):
        raise _busy(name, _who(earlier))


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another run has it by now
        folder.rmdir()


def _busy(
    target: str, who: str, advice: str = "wait for it, or name another output"
) -> AttentropyError:
    return AttentropyError(f"another run is writing to {target!r}{who}; {advice}")


def _read_again(folder: Path) -> dict[str, Any]:
    """Return who has the lock, which is written a moment after it is taken."""
    for _ in range(100):
        if facts := read_json(folder / NAME):
            return facts
        time.sleep(0.01)
    return {}


def _who(facts: dict[str, Any]) -> str:
    """Return the process that writes, in words."""
    process, host, since = (facts.get(key) for key in ("process", "host", "since"))
    if type(process) is not int or not isinstance(host, str) or not isinstance(since, str):
        return ""
    return f" (process {process} on {host[:80]}, since {since[:19].replace('T', ' ')})"


def _write(handle: int, target: str) -> None:
    facts = {
        "format": _FORMAT, "target": target, "process": os.getpid(),
        "started": _started(os.getpid()), "thread": threading.get_ident(),
        "host": socket.gethostname(), "boot": _boot(),
        "since": datetime.now().isoformat(timespec="seconds"),
    }  # fmt: skip
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(facts).encode(), 0)


def _check_own(folder: Path, target: str) -> None:
    """Raise `AttentropyError` for a folder that no run of this user made."""
    try:
        status = folder.lstat()
        names = os.listdir(folder) if stat.S_ISDIR(status.st_mode) else None
        mark = (folder / NAME).read_bytes()[:200] if names and NAME in names else b""
    except FileNotFoundError:
        return  # it is gone by now
    except PermissionError:
        raise AttentropyError(
            f"another user is writing to {target!r}, or their run was killed and left "
            f"{folder.name!r}, which they can delete"
        ) from None
    is_marked = not mark or _FORMAT.encode() in mark
    is_ours = names is not None and (NAME in names or set(names) <= _INNER)
    if not (is_ours and is_marked):
        raise AttentropyError(
            f"{folder.name!r} is in the way, and attentropy did not make it; move it away"
        )


def _is_at(handle: int, file: Path) -> bool:
    """Return whether an open file still has its name."""
    try:
        there = os.stat(file, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)


def _is_here(facts: dict[str, Any]) -> bool:
    """Return whether a process ran on this machine, now or before it was last started."""
    return facts.get("boot") == _boot() is not None or facts.get("host") == socket.gethostname()


def _is_running(facts: dict[str, Any]) -> bool:
    """Return whether the process itself runs, not a later one with its number."""
    process = facts.get("process")
    if type(process) is not int or process < 1 or os.name != "posix":
        return False
    if facts.get("boot") != _boot():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    started = _started(process)
    return started is None or started == facts.get("started")


def _started(process: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None if unknown."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _boot() -> str | None:
    """Return what tells one start of this machine from another; None where nothing does."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return None


def _forget() -> None:
    """Close the locks in a forked child: they are the parent's, and end with it."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
