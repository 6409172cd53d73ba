"""Say in one line what stopped a run from outside: a full disk, memory, a lost device."""

from __future__ import annotations

import errno

import torch

from attentropy.engine.errors import Terminated, strip_paths

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, the device's or the machine's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in message or "not enough memory" in message
    )


def reason(error: BaseException) -> str | None:
    """Return why a run stopped, as far as that is nobody's mistake; None for anything else."""
    if out_of_memory(error):
        return "out of memory"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Terminated):
        return f"ended by {error.name}"
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return "the disk is full"
        if error.errno in _CLOSED | _GONE or isinstance(error, FileNotFoundError):
            return "cannot write to the output folder"
        return f"cannot write the output ({error.strerror or type(error).__name__})"
    if isinstance(error, RuntimeError) and "CUDA error" in str(error):
        return f"the GPU failed ({strip_paths(str(error).splitlines()[0])[:120]})"
    return None
