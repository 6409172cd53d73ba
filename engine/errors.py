"""Errors that the user can fix: their message is one line, shown without a traceback."""

import os
import re
import shlex
import signal
from pathlib import Path


class AttentropyError(Exception):
    """An error whose message is one line that says what to do. Exit code 1."""


class NoAttention(AttentropyError):
    """A model in which no layer calls transformers' attention interface. Exit code 1."""


class OwnAttention(NoAttention):
    """A model that computes attention by itself, not through transformers' interface."""


class LensRefused(AttentropyError):
    """The lens cannot be read as the model's own head would. Exit code 1."""


class UsageError(AttentropyError):
    """An argument with which nothing can run. Exit code 2."""


class TraceError(AttentropyError):
    """A file that is not a complete trace in a format that this version reads. Exit code 1."""


class OtherFormat(TraceError):
    """A store of attentropy that is of another kind than the one asked for. Exit code 1."""


class RunStopped(AttentropyError):
    """A run that was stopped from outside. Exit code 1.

    why: what stopped it. remains: what is left of it and can be resumed, "" for nothing.
    """

    def __init__(self, why: str, remains: str = "") -> None:
        super().__init__(f"{why}; {remains}" if remains else why)
        self.why = why
        self.remains = remains


class Terminated(BaseException):
    """The process was told to end, by SIGTERM or SIGHUP. Exit code 128 + the signal's number.

    Like `KeyboardInterrupt` it is no `Exception`: nothing but the end of a command handles it.
    remains: what is left of the run and can be resumed, "" for nothing.
    """

    def __init__(self, number: int, remains: str = "") -> None:
        super().__init__(remains)
        self.number = number

    @property
    def name(self) -> str:
        """The name of the signal, such as "SIGTERM"."""
        return signal.Signals(self.number).name


def install_command(extra: str) -> str:
    """Return the command that installs an extra's libraries for this copy of the package.

    A checkout is named by its path. An installed package is enough for pip to know its extras, so
    that no index has to have it.
    """
    root = Path(__file__).resolve().parents[1]
    is_checkout = (root / "pyproject.toml").exists()
    subject = f"{root if is_checkout else 'attentropy'}[{extra}]"
    quoted = f'"{subject}"' if os.name == "nt" else shlex.quote(subject)
    return f"pip install -e {quoted}" if is_checkout else f"pip install {quoted}"


_PATH = re.compile(
    r"(?<![\w.:/\\])(?:file:/*|\\\\)?(?:~\w*|[A-Za-z]:)?(?:[/\\]+[^/\\\n'\"<>|:;,]+)*[/\\]+"
    r"([^/\\\s'\"<>|:;,)]+)[/\\]*"
)


def strip_paths(text: str) -> str:
    """Return `text` with every path that begins at a root or a home cut to its last name."""
    return _PATH.sub(lambda match: match[1], text)
