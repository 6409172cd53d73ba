"""What goes wrong in a way that the user can mend: one line, no traceback."""

import re


class AttentropyError(Exception):
    """A run that failed; the message is one line that says what to do. Exit code 1."""


class NoAttention(AttentropyError):
    """A model in which nothing calls transformers' attention interface. Exit code 1."""


class LensRefused(AttentropyError):
    """The lens cannot be read as the model's own head would. Exit code 1."""


class UsageError(AttentropyError):
    """An argument that cannot work as given. Exit code 2."""


class TraceError(AttentropyError):
    """A file that is not a whole trace of a format this version reads. Exit code 1."""


class Stopped(AttentropyError):
    """A run that something outside of it stopped: `why`, and `kept`, what is left of it. Exit code
    1."""

    def __init__(self, why: str, kept: str = "") -> None:
        super().__init__(f"{why}; {kept}" if kept else why)
        self.why = why
        self.kept = kept


_PATH = re.compile(
    r"(?<![\w.:/\\])(?:file:/*|\\\\)?(?:~\w*|[A-Za-z]:)?(?:[/\\]+[^/\\\n'\"<>|:;,]+)*[/\\]+"
    r"([^/\\\s'\"<>|:;,)]+)[/\\]*"
)


def without_paths(text: str) -> str:
    """`text` with the last name alone of every path that begins at a root or a home."""
    return _PATH.sub(lambda found: found[1], text)
