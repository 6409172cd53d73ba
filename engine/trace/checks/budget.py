"""How much work a stranger's trace may make, known from its metadata before memory is reserved.

Work is counted in cells. A cell is four bytes of an array's values, one number of the usual size.
What the page has rows, columns or labels for takes more than its numbers do, and counts as many
cells as take the same time: a layer 65,536, a head of a layer 512, any other index of a dimension
256, and a text 16.

A trace may have `_FREE` cells, and more of what its bytes pay for: recorded entropies do not
compress much, so a large trace is a large file, while a file that claims thousands of times its
bytes is made by hand. Layers and heads belong to a model; no number of bytes pays for more of them
than any model has. Who trusts a file allows more with `max_cells`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.arrays import ArrayMetadata

_FREE = 2**26  # cells: 256 MiB of values; as many of layers and heads
_PER_BYTE = 32  # cells for each byte of the chunks
# An unfinished run has the texts and ids of all tokens, but no chunk of what was not read yet.
_PER_BYTE_UNFINISHED = 4096
_BYTES = 4  # of a cell
_LAYER, _HEAD, _INDEX, _TEXT = 2**16, 2**9, 2**8, 2**4
_READ_OFTEN = 8  # times that the values of a trace are unpacked for a page, at most


@dataclass(frozen=True)
class Work:
    """What opening and drawing a store can take, in cells: of its model's parts, of its values."""

    of_model: int = 0
    of_values: int = 0

    @property
    def cells(self) -> int:
        """All cells."""
        return self.of_model + self.of_values

    def __add__(self, other: Work) -> Work:
        return Work(self.of_model + other.of_model, self.of_values + other.of_values)


def work_of(arrays: Iterable[ArrayMetadata]) -> Work:
    """Return the work that the arrays of one group can make."""
    arrays = list(arrays)
    sizes: dict[str, int] = {}
    for array in arrays:
        for dim, size in array.sizes.items():
            sizes[dim] = max(size, sizes.get(dim, 0))
    values = sum(_TEXT * a.values if a.claim.size is None else a.bytes // _BYTES for a in arrays)
    layers = sizes.pop("layer", 0) * max(1, sizes.pop("site", 1))
    heads = max((size for dim, size in sizes.items() if "head" in dim), default=0)
    others = sum(size for dim, size in sizes.items() if "head" not in dim)
    return Work(_LAYER * layers + _HEAD * max(1, layers) * heads, values + _INDEX * others)


def check_work(
    work: Work, stored: Mapping[str, int], trace: str, max_cells: int | None, *, partial: bool
) -> int:
    """Raise `TraceError` for more work than a trace of its size makes.

    stored: the bytes that each chunk of its arrays takes. max_cells: what the user allows, None for
    the default. partial: chunks may be missing. Returns the number of bytes that may be unpacked.
    """
    if max_cells is None:
        paid = (_PER_BYTE_UNFINISHED if partial else _PER_BYTE) * sum(stored.values())
        is_too_much = work.of_model > _FREE or work.of_values > _FREE + paid
    else:
        is_too_much = work.cells > max_cells
    if is_too_much:
        raise TraceError(
            f"{trace} claims as much as {work.cells:,} cells, too many for its size, so it was not "
            f"opened; if you trust the file, allow them with `max_cells={work.cells}`"
        )
    return _READ_OFTEN * _BYTES * (_FREE + work.of_values)


def rounded_up(cells: int) -> int:
    """Return a number of cells that is easy to type."""
    digits = 10 ** max(0, len(str(cells)) - 2)
    return math.ceil(cells / digits) * digits
