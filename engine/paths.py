"""Places of a machine in what a library says, which nobody else should read."""

from __future__ import annotations

import re

_PATH = re.compile(
    r"(?<![\w.:/\\])(?:file:/*|\\\\)?(?:~\w*|[A-Za-z]:)?(?:[/\\]+[^/\\\n'\"<>|:;,]+)*[/\\]+"
    r"([^/\\\s'\"<>|:;,)]+)[/\\]*"
)


def without_paths(text: str) -> str:
    """`text` with the last name alone of every path that begins at a root or a home."""
    return _PATH.sub(lambda found: found[1], text)
