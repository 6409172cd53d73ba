"""The grid of cases that `attentropy bench` measures: its values, their defaults and its cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from attentropy.engine.bench.case import Case

T = TypeVar("T")


@dataclass(frozen=True)
class Grid:
    """The values of all settings; a case is one combination of them.

    sizes: tokens of the attention, or rows read through the vocabulary. heads: (query, key) heads.
    width: of a hidden state. tokens: of the vocabulary.
    """

    sizes: list[int]
    heads: list[tuple[int, int]]
    head_size: list[int]
    mask: list[str]
    width: int
    tokens: int
    dtype: str

    def cases(self, what: str, device: str) -> list[Case]:
        """Return every combination of the values, setting by setting."""
        from attentropy.engine.bench.case import AttentionCase, VocabularyCase

        if what == "vocabulary":
            rest = (self.width, self.tokens, self.dtype, device)
            return [VocabularyCase(rows, *rest) for rows in self.sizes]
        return [
            AttentionCase(length, heads, key_heads, head_size, mask == "causal", self.dtype, device)
            for head_size, (heads, key_heads), mask, length in product(
                self.head_size, self.heads, self.mask, self.sizes
            )
        ]

    def words(self, what: str) -> list[str]:
        """Return the values as words of a command line."""
        words = ["-n", ",".join(map(str, self.sizes))]
        if what == "attention":
            words += ["--heads", ",".join(f"{q}/{k}" for q, k in self.heads)]
            words += ["-d", ",".join(map(str, self.head_size)), "--mask", ",".join(self.mask)]
        else:
            words += ["--width", str(self.width), "--tokens", str(self.tokens)]
        return [*words, "--dtype", self.dtype]


# The default grid: everything on a GPU, what takes some minutes on a CPU.
_GRIDS = {
    "cuda": Grid(
        sizes=[], heads=[(32, 8), (64, 8)], head_size=[64, 128], mask=["causal", "full"],
        width=4096, tokens=128_256, dtype="bfloat16",
    ),
    "cpu": Grid(
        sizes=[], heads=[(8, 8)], head_size=[64], mask=["causal"],
        width=512, tokens=32_000, dtype="float32",
    ),
}  # fmt: skip
_SIZES = {
    ("cuda", "attention"): [1024 * 2**i for i in range(8)],
    ("cuda", "vocabulary"): [4096, 32768],
    ("cpu", "attention"): [1024, 4096],
    ("cpu", "vocabulary"): [2048],
}


def grid_for(what: str, device: str, values: Mapping[str, Any]) -> Grid:
    """Return the grid with the `values` that are not None, and defaults that fit the device."""
    changes = {name: value for name, value in values.items() if value is not None}
    return replace(_GRIDS[device], **({"sizes": _SIZES[device, what]} | changes))


def list_of(
    parse: Callable[[str], T],
) -> Callable[[click.Context, click.Parameter, str | None], list[T] | None]:
    """Return the callback of an option that takes several values, separated by commas."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> list[T] | None:
        if value is None:
            return None
        words = value.lower().replace(" ", "").split(",")
        return list(dict.fromkeys(parse(word) for word in words))

    return callback


def parse_heads(word: str) -> tuple[int, int]:
    """Return the numbers of query and key heads in `64/8`. Raises `click.BadParameter`."""
    parts = word.split("/")
    if len(parts) == 2 and all(part.isdecimal() and int(part) for part in parts):
        heads, key_heads = int(parts[0]), int(parts[1])
        if heads % key_heads == 0:
            return heads, key_heads
    raise click.BadParameter(f"{word!r}: give QUERY/KEY heads such as 64/8, the first a multiple")


def parse_mask(word: str) -> str:
    """Return "causal" or "full". Raises `click.BadParameter` for any other word."""
    if word not in ("causal", "full"):
        raise click.BadParameter(f"{word!r} is neither causal nor full")
    return word
