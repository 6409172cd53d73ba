"""The libraries that only some commands need: their absence is an error of one line."""

from __future__ import annotations

from importlib import import_module

from attentropy.engine import failures
from attentropy.engine.errors import AttentropyError, UsageError, install_command


def import_libraries(purpose: str, *names: str, extra: str = "extract") -> None:
    """Import libraries, so that what follows may rely on them.

    Raises `AttentropyError`, which says that `purpose` needs the one that is missing and how the
    package's `extra` installs it.
    """
    if failures.is_folder_gone():  # torch ends the process there
        raise UsageError("the current folder no longer exists; change to another one")
    try:
        for name in names:
            import_module(name)
    except ImportError as error:
        missing = error.name or names[0]
        raise AttentropyError(
            f"{purpose} needs {missing}; run: {install_command(extra)}"
        ) from error
