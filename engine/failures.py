"""What stopped a command from outside, in words: a full disk, a limit, memory, a lost device.

All commands take their words from here: `reason` says what happened, `advice` what helps, and
`line` both. What is a mistake of the program itself has no words here.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from attentropy.engine.errors import Terminated, install_command, strip_paths


class TimeUp(Exception):
    """The processor time that this process may use is used up."""


STANDARD_OUTPUT = "standard output"  # the file's name in an error of that stream

_NAME = 40  # characters of a file's name that are shown

_WHAT = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than it may be here",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this machine",
    errno.EAGAIN: "no further process or thread can be started",
    errno.ENOMEM: "out of memory",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "another program wrote there at the same time",
    errno.ENOTEMPTY: "another program wrote there at the same time",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the network drive is gone",
    errno.ENOTCONN: "the network drive is gone",
    errno.ELOOP: "its links lead in a circle",
    errno.EPIPE: "the reader has closed the pipe",
    errno.EXDEV: "it is on another file system",
}
_SPACE = "free some space, or write to another disk"
_HELP = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENFILE: "close other programs",
    errno.EROFS: "write to another folder",
    errno.EACCES: "check who may read and write it",
    errno.EPERM: "check who may read and write it",
    errno.EIO: "check the disk, or write to another one",
    errno.EEXIST: "use another name for each run",
    errno.ENOTEMPTY: "use another name for each run",
}
# Error → (the option of `ulimit`, the limit's name in `resource`, bytes per unit of the option).
_LIMITS = {
    errno.EMFILE: ("-n", "RLIMIT_NOFILE", 1),
    errno.EFBIG: ("-f", "RLIMIT_FSIZE", 1024),
    errno.EAGAIN: ("-u", "RLIMIT_NPROC", 1),
    errno.ENOMEM: ("-v", "RLIMIT_AS", 1024),
}
# The extra that installs a library; every other one comes with the package itself.
_EXTRAS = {
    "accelerate": "placement", "bitsandbytes": "placement", "gguf": "gguf", "triton": "gpu",
} | dict.fromkeys(("safetensors", "tokenizers", "torch", "transformers"), "extract")  # fmt: skip
_TOO_LONG = ("SIGALRM", "SIGPROF", "SIGVTALRM", "SIGXCPU")
_CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, the device's or the machine's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or "Cannot allocate memory" in message
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in message or "not enough memory" in message
    )


def is_of_system(error: BaseException) -> bool:
    """Return whether the system raised an error, whatever a program reads or writes."""
    return out_of_memory(error) or (isinstance(error, OSError) and bool(error.errno))


def reason(error: BaseException, *, named: bool = True) -> str | None:
    """Return what happened, as far as that is nobody's mistake; None for anything else.

    named: with the name of the file, where the error has one.
    """
    if out_of_memory(error):
        return "out of memory"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Terminated):
        return f"ended by {error.name}"
    if isinstance(error, TimeUp):
        return "the processor time is used up"
    if isinstance(error, OSError):
        return _of_system(error, named=named)
    if isinstance(error, ImportError):
        name = (error.name or "").partition(".")[0]
        return f"the library {name} cannot be loaded" if name else f"a library: {_first(error)}"
    if isinstance(error, UnicodeEncodeError):
        letters = error.object[error.start : error.end][:8]
        return f"{error.encoding} has no {letters!a}"
    if isinstance(error, RecursionError):
        return "the data are nested too deeply"
    if type(error).__name__ == "PanicException":  # of a library in Rust
        return f"a library failed ({_first(error)})"
    if isinstance(error, RuntimeError):
        if "CUDA error" in str(error):
            return f"the GPU failed ({_first(error)})"
        if "can't start new thread" in str(error):
            return _WHAT[errno.EAGAIN]
    return None


def advice(error: BaseException) -> str:
    """Return what helps, "" where nothing is known."""
    number = errno.ENOMEM if out_of_memory(error) else _number(error)
    if isinstance(error, ImportError) and error.name:
        name = error.name.partition(".")[0]
        extra = _EXTRAS.get(name)
        return f"run: {install_command(extra) if extra else f'pip install {name}'}"
    if isinstance(error, TimeUp):
        return _raise_limit("-t", "RLIMIT_CPU", 1)
    if isinstance(error, UnicodeEncodeError):
        return "set PYTHONUTF8=1, or use a name in plain letters"
    if isinstance(error, FileNotFoundError) and is_folder_gone():
        return "change to another one"
    if number in _LIMITS:
        return _raise_limit(*_LIMITS[number])
    return _HELP.get(number, "")


def line(error: BaseException, *, named: bool = True) -> str | None:
    """Return what happened and what helps; None for what is a mistake of the program."""
    what = reason(error, named=named)
    return None if what is None else "; ".join(part for part in (what, advice(error)) if part)


def end_of_process(code: int) -> str:
    """Return how a child process ended, from its return code: negative for a signal."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        time = _raise_limit("-t", "RLIMIT_CPU", 1)
        memory = "most likely because memory ran out"
        return (
            f"was killed: the processor time is used up ({time})"
            if time
            else (f"was killed, {memory}")
        )
    if name in _TOO_LONG:
        return f"used up its processor time ({name})"
    return f"crashed ({name})" if name in _CRASHES else f"was ended from outside ({name})"


def is_folder_gone() -> bool:
    """Return whether the current folder was deleted."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def limit_of(name: str, *, hard: bool = False) -> int | None:
    """Return a limit of this process such as "RLIMIT_AS"; None where there is none."""
    try:
        import resource

        value: int = resource.getrlimit(getattr(resource, name))[hard]
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    return None if value == resource.RLIM_INFINITY else value


def _of_system(error: OSError, *, named: bool) -> str:
    what = _WHAT.get(_number(error)) or _first(error, error.strerror)
    if isinstance(error, FileNotFoundError) and is_folder_gone():
        return "the current folder no longer exists"
    if not named or not isinstance(error.filename, (str, bytes, os.PathLike)):
        return what
    path = os.fsdecode(error.filename)
    if path == STANDARD_OUTPUT:
        return f"cannot write to {STANDARD_OUTPUT} ({what})"
    parts = Path(path).parts or (path,)
    name = max(parts, key=len) if error.errno == errno.ENAMETOOLONG else parts[-1]
    return f"{name if len(name) <= _NAME else f'{name[:_NAME]}…'!r}: {what}"


def _number(error: BaseException) -> int:
    """Return the error's number in `errno`, 0 where it has none."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return errno.EAGAIN
    return (error.errno or 0) if isinstance(error, OSError) else 0


def _raise_limit(option: str, name: str, unit: int) -> str:
    """Return how to raise a limit of this process, as a shell does; "" where there is none."""
    limit = limit_of(name, hard=name == "RLIMIT_CPU")  # whose soft limit is ours
    return "" if limit is None else f"raise the limit `ulimit {option}`, which is {limit // unit:,}"


def _first(error: BaseException, message: str | None = None) -> str:
    """Return the first line of an error's message without paths, its type where it has none."""
    lines = strip_paths(message or str(error)).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
