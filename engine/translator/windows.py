"""The text of a fit as windows of tokens, and which of them are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.text import count

WINDOW = 256  # tokens
LEAST_TOKENS = 300
FEW_TOKENS = 2000
_SHORTEST = 8  # tokens of a text's last window
_BYTES_PER_TOKEN = 64  # more of a file than this for each wanted token is not read

# A text, or the path of a text file.
Source = str | Path


class FewTokensWarning(UserWarning):
    """A lens is fitted to few tokens: the fit works, but another text would give other maps."""


def few_tokens(tokens: int) -> str:
    """Return what `FewTokensWarning` says of a number of tokens."""
    return f"{tokens:,} tokens are few for a fit; {FEW_TOKENS:,} or more are advised"


@dataclass(frozen=True)
class Windows:
    """Windows of token ids, those to fit on and those held out; `start` ids stand before each.

    sha256: of all token ids.
    """

    fit: list[list[int]]
    held_out: list[list[int]]
    start: list[int]
    sha256: str

    @property
    def tokens(self) -> int:
        """The number of tokens in all windows."""
        return sum(map(len, (*self.fit, *self.held_out)))


def read_windows(
    tokenizer: Any, text: Source | Sequence[Source], tokens: int, positions: int | None
) -> Windows:
    """Return windows of 256 tokens of the texts, in turn from each, `tokens` tokens in all.

    Every tenth window is held out, and the last. positions: the most tokens that the model reads at
    once, None for any number. Raises `UsageError` for texts that are too short, or cannot be read.
    """
    sources = [text] if isinstance(text, (str, Path)) else list(text)
    if not sources:
        raise UsageError("no text to fit on; give one with `text`")
    bos = getattr(tokenizer, "bos_token_id", None)
    start = [] if bos is None else [int(bos)]
    window = WINDOW if positions is None else min(WINDOW, positions - len(start))
    if window < _SHORTEST:
        raise UsageError(f"the model reads only {count(positions or 0, 'token')} at once")
    parts = [_windows_of(tokenizer, source, tokens, window) for source in sources]
    in_turn = [one for one in chain(*zip_longest(*parts)) if one is not None]
    windows = [*_first(in_turn, tokens)]
    total = sum(map(len, windows))
    if total < LEAST_TOKENS:
        raise UsageError(f"a fit needs at least {LEAST_TOKENS} tokens of text, not {total:,}")
    last = len(windows) - 1
    is_held_out = [i % 10 == 9 or i == last for i in range(len(windows))]
    digest = hashlib.sha256(repr(windows).encode())
    return Windows(
        [one for one, is_out in zip(windows, is_held_out, strict=True) if not is_out],
        [one for one, is_out in zip(windows, is_held_out, strict=True) if is_out],
        start, digest.hexdigest(),
    )  # fmt: skip


def _windows_of(tokenizer: Any, source: Source, tokens: int, window: int) -> list[list[int]]:
    """Return the windows of one text. Raises `UsageError` where it has not even one whole."""
    ids = tokenizer(_text(source, tokens), add_special_tokens=False, verbose=False)["input_ids"]
    ids = [int(i) for i in ids]
    if len(ids) < window:
        name = repr(source.name) if isinstance(source, Path) else "the text"
        raise UsageError(
            f"{name} has {count(len(ids), 'token')}, fewer than one window of {window:,}"
        )
    parts = [ids[first : first + window] for first in range(0, len(ids), window)]
    return [part for part in parts if len(part) >= _SHORTEST]


def _text(source: Source, tokens: int) -> str:
    if isinstance(source, str):
        return source
    try:
        with open(source, "rb") as file:
            data = file.read(_BYTES_PER_TOKEN * max(tokens, LEAST_TOKENS))
            is_whole = not file.read(1)
        return data.decode("utf-8", "strict" if is_whole else "ignore")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source.name!r} is not a text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot read {source.name!r}: {error.strerror}") from error


def _first(windows: Sequence[list[int]], tokens: int) -> Iterator[list[int]]:
    """Yield the first windows that have `tokens` tokens together, the last one cut."""
    for window in windows:
        if tokens < _SHORTEST:
            return
        yield window[:tokens]
        tokens -= len(window)
