"""The standard streams of a command: they show any text, and what fails there is told apart.

A terminal that lacks a character gets a plain one in its place. Standard error never stops a
command: a run must not be lost because nobody can read its notes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from attentropy.engine.failures import STANDARD_OUTPUT

# What stands for the signs of our sentences and tables where an encoding lacks them.
_PLAIN = {
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-", "‑": "-",
    "…": "...", "×": "x", "·": ".", "→": "->", "←": "<-", "↑": "^", "↓": "v", "≥": ">=", "≤": "<=",
    "≠": "!=", "≈": "~", "±": "+-", "Δ": "d", "°": "deg", "µ": "u", "␣": "_", "⍽": "_", "⏎": "\\n",
    "⇥": "\\t", "␍": "\\r", "⟨": "<", "⟩": ">", "‹": "<", "›": ">", "\u00a0": " ", "\u202f": " ",
    "\u2009": " ", "\u2068": "", "\u2069": "", "━": "-", "─": "-", "│": "|", "█": "#", "●": "*",
}  # fmt: skip


def showable(text: str, encoding: str | None) -> str:
    """Return `text` in characters that the encoding has: a plain sign, or the number as \\u2026."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(_shown(character, encoding or "utf-8") for character in text)
    except LookupError:
        return text
    return text


def _shown(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        plain = _PLAIN.get(character)
        return ascii(character)[1:-1] if plain is None else plain
    return character


class ReaderGone(Exception):
    """The reader of standard output has closed it, as `head` does."""


class Stream:
    """A standard stream, or one that is closed and takes everything."""

    def __init__(self, stream: TextIO | None, name: str, *, must_work: bool) -> None:
        self.is_closed = stream is None
        self._stream: Any = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115
        self._name, self._must_work = name, must_work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def own_encoding(self) -> str:
        """The encoding in which the stream writes."""
        return self._stream.encoding or "utf-8"

    @property
    def encoding(self) -> str:
        """The stream's encoding; click would write UTF-8 to a stream of ASCII."""
        return "latin-1" if _is_ascii(self.own_encoding) else self.own_encoding

    def write(self, text: str) -> int:
        """Write a text, in characters that the encoding has."""
        if not isinstance(text, str):  # click tries with bytes
            raise TypeError("a text stream takes no bytes")
        if text:  # click tries the stream with an empty one, and takes no notice of an error
            with self._failures():
                self._stream.write(showable(text, self._stream.encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._failures():
            self._stream.flush()

    def write_bytes(self, data: bytes) -> None:
        """Write bytes, after all text so far."""
        with self._failures():
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.buffer.flush()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Name the stream in an error; give up what was not written, or continue without it."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError, ValueError):  # the interpreter would try it again
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, self._stream.fileno())
                os.close(nothing)
            if self._must_work:
                if isinstance(error, BrokenPipeError):
                    raise ReaderGone from error
                error.filename = self._name
                raise


def _is_ascii(encoding: str) -> bool:
    return showable("é", encoding) != "é" and showable("я", encoding) != "я"


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output, after all text so far."""
    if isinstance(sys.stdout, Stream):
        sys.stdout.write_bytes(data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def encoding_of_output() -> str:
    """Return the encoding of what is written to standard output."""
    encoding = sys.stdout.own_encoding if isinstance(sys.stdout, Stream) else sys.stdout.encoding
    return encoding or "utf-8"


def is_output_closed() -> bool:
    """Return whether there is no standard output."""
    return isinstance(sys.stdout, Stream) and sys.stdout.is_closed


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Let the standard streams be these while this is open."""
    _open_handles()
    before = sys.stdin, sys.stdout, sys.stderr
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.stdout = Stream(before[1], STANDARD_OUTPUT, must_work=True)
    sys.stderr = Stream(before[2], "standard error", must_work=False)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _open_handles() -> None:
    """Open the handles 0, 1 and 2 where they are closed: the first file would get their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
