"""How much work a stranger's trace may make, known from its metadata before memory is reserved.

Work is counted in cells. A cell is four bytes of an array's values, one number of the usual size.
What the page has rows, columns or labels for takes more than its numbers do, and counts as many
cells as take the same time: a layer 65,536 (for each site of the lens), a head of a layer 512, any
other index of a dimension 256, a text 16, and a weight of a window or of the map 4.

A trace may have `_FREE` cells, and more of what its bytes pay for: recorded entropies do not
compress much, so a large trace is a large file, while a file that claims thousands of times its
bytes is made by hand. Layers and heads belong to a model; no number of bytes pays for more of them
than any model has. Who trusts a file allows more with `max_cells`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.arrays import ArrayMetadata

_FREE = 2**26  # cells: 256 MiB of values
_FREE_MODEL = 3 * 2**24  # of layers and heads: four times those of the largest models
_PER_BYTE = 32  # cells for each byte of the chunks
# An unfinished run has the texts and ids of all tokens, but no chunk of what was not read yet.
_PER_BYTE_UNFINISHED = 4096
_BYTES = 4  # of a cell
_LAYER, _HEAD, _INDEX, _TEXT, _WEIGHT = 2**16, 2**9, 2**8, 2**4, 4
_DRAWN = ("window_query", "map_query")  # how the dimensions of dense weights begin


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
    values = sum(map(_cells_of, arrays))
    layers, sites = sizes.pop("layer", 0), sizes.pop("site", 1)
    heads = max((size for dim, size in sizes.items() if "head" in dim), default=0)
    others = sum(size for dim, size in sizes.items() if "head" not in dim)
    return Work(
        _LAYER * layers * max(1, sites) + _HEAD * max(1, layers) * heads, values + _INDEX * others
    )


def _cells_of(array: ArrayMetadata) -> int:
    if array.claim.size is None:
        return _TEXT * array.values
    is_drawn = any(dim.startswith(_DRAWN) for dim in array.sizes) and len(array.sizes) > 1
    return (_WEIGHT if is_drawn else 1) * array.bytes // _BYTES


def check_work(
    work: Work, stored: Mapping[str, int], trace: str, max_cells: int | None, *, partial: bool
) -> None:
    """Raise `TraceError` for more work than a trace of its size makes.

    stored: the bytes that each chunk of its arrays takes. max_cells: what the user allows, None for
    the default. partial: chunks may be missing.
    """
    if max_cells is None:
        paid = (_PER_BYTE_UNFINISHED if partial else _PER_BYTE) * sum(stored.values())
        is_too_much = work.of_model > _FREE_MODEL or work.of_values > _FREE + paid
    else:
        is_too_much = work.cells > max_cells
    if is_too_much:
        raise TraceError(
            f"{trace} claims as much as {work.cells:,} cells, too many for its size, so it was not "
            f"opened; if you trust the file, allow them with `max_cells={work.cells}`"
        )
