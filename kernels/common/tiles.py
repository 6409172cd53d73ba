"""Block shapes of the fused kernels per GPU and head size: a table to read, not a search to run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Tile:
    """One program's block: `queries` × `keys` scores, its warps and its software pipeline depth.

    `descriptors`: keys and values come by the hardware's bulk copies (TMA), which need no pointer
    registers and so leave room for larger blocks; they take aligned 16-bit tensors.
    `lanes`: how many columns of a row lie side by side in different threads where the matrix units
    leave the scores, so that sums over every lanes-th column never cross threads.
    `registers`: at most so many a thread (NVIDIA), for more programs on a processor.
    """

    queries: int
    keys: int
    warps: int
    stages: int
    descriptors: bool = False
    lanes: int = 8
    registers: int | None = None

    @property
    def options(self) -> dict[str, int]:
        """What Triton is told of it when it compiles a kernel."""
        limit = {} if self.registers is None else {"maxnreg": self.registers}
        return {"num_warps": self.warps, "num_stages": self.stages, **limit}


# By architecture, then by the largest padded head size the row is meant for, for 16-bit inputs.
# Registers decide: the scores have to live until after the exponential, beside the output block.
_TILES: dict[str, dict[int, Tile]] = {
    "sm_80": {
        64: Tile(128, 64, warps=8, stages=3),
        128: Tile(128, 32, warps=8, stages=3),
        256: Tile(32, 32, warps=8, stages=2),
    },
    "sm_90": {
        64: Tile(128, 64, warps=8, stages=3),
        128: Tile(128, 64, warps=8, stages=3),
        256: Tile(64, 32, warps=8, stages=2),
    },
    "sm_100": {  # a thread has a whole row of the scores
        64: Tile(128, 64, warps=8, stages=3, lanes=1),
        128: Tile(128, 64, warps=8, stages=2, lanes=1),
        256: Tile(64, 32, warps=8, stages=2, lanes=1),
    },
    "gfx942": {
        64: Tile(128, 64, warps=4, stages=1),
        128: Tile(128, 32, warps=8, stages=1),
        256: Tile(64, 32, warps=4, stages=1),
    },
}
_BULK: dict[str, dict[int, Tile]] = {
    "sm_90": {
        64: Tile(128, 128, warps=8, stages=3, descriptors=True),
        128: Tile(128, 128, warps=8, stages=3, descriptors=True),
        256: Tile(128, 64, warps=8, stages=2, descriptors=True),
    },
    "sm_100": {
        64: Tile(128, 64, warps=8, stages=3, descriptors=True, lanes=1),
        128: Tile(128, 64, warps=8, stages=3, descriptors=True, lanes=1),
        256: Tile(64, 64, warps=8, stages=2, descriptors=True, lanes=1),
    },
}
# float32 products run outside the matrix units and hold twice the bytes.
_FLOAT32: dict[int, Tile] = {
    64: Tile(64, 32, warps=8, stages=2, lanes=1),
    128: Tile(32, 16, warps=8, stages=2, lanes=1),
    256: Tile(16, 32, warps=8, stages=1, lanes=1),
}
# The second sweep holds neither V nor an output block, so two programs fit on a processor of sm_90:
# one computes exponentials while the other multiplies. What spills for it does so outside the
# loops, but where tiles leave gaps in their blocks.
_SWEEP: dict[str, dict[int, Tile]] = {
    "sm_80": {
        64: Tile(64, 128, warps=8, stages=3),
        128: Tile(64, 128, warps=8, stages=2),
        256: Tile(32, 64, warps=4, stages=2),
    },
    "sm_90": {
        64: Tile(64, 128, warps=8, stages=3, registers=128),
        128: Tile(64, 128, warps=8, stages=3, registers=128),
        256: Tile(64, 128, warps=8, stages=2),
    },
    "sm_100": {
        64: Tile(64, 128, warps=4, stages=3),
        128: Tile(64, 128, warps=4, stages=3),
        256: Tile(32, 128, warps=4, stages=2),
    },
    "gfx942": {
        64: Tile(64, 128, warps=8, stages=1),
        128: Tile(64, 64, warps=4, stages=1),
        256: Tile(32, 64, warps=4, stages=1),
    },
}
_SWEEP_FLOAT32: dict[int, Tile] = {
    64: Tile(32, 32, warps=4, stages=2),
    128: Tile(32, 32, warps=4, stages=2),
    256: Tile(16, 32, warps=4, stages=1),
}
_INTERPRETED = Tile(64, 32, warps=1, stages=1)


def padded(size: int) -> int:
    """The power of two, at least 16, that holds a head of this size."""
    return max(16, 1 << (size - 1).bit_length())


def choose(architecture: str, head: int, dtype: torch.dtype, *, bulk: bool, wide: bool) -> Tile:
    """The block for a padded head size up to 256; `architecture` as `of_device` names it.

    bulk: whether the keys and values may come by tensor descriptors (`takes_descriptors`);
    wide: whether more is asked for than output, lse and entropy, which takes registers.
    """
    if architecture == "interpreter":
        return _INTERPRETED
    if dtype == torch.float32:
        table = _FLOAT32
    else:
        table = _BULK[architecture] if bulk and architecture in _BULK else _TILES[architecture]
    tile = next(tile for size, tile in table.items() if head <= size)
    return replace(tile, keys=max(16, tile.keys // 2)) if wide else tile


def choose_sweep(architecture: str, head: int, dtype: torch.dtype) -> Tile:
    """The second sweep's block, likewise."""
    if architecture == "interpreter":
        return _INTERPRETED
    table = _SWEEP_FLOAT32 if dtype == torch.float32 else _SWEEP[architecture]
    return next(tile for size, tile in table.items() if head <= size)


def of_device(device: torch.device) -> str:
    """The row of the table that serves this device: the newest architecture that it includes."""
    if device.type != "cuda":
        return "interpreter"
    if torch.version.hip is not None:
        return "gfx942"
    major, _ = torch.cuda.get_device_capability(device)
    return "sm_100" if major == 10 else "sm_90" if major == 9 else "sm_80"


@dataclass(frozen=True)
class Specialized:
    """A block of hopper.py: warp groups of 64 queries, beside a warp that copies tiles of `keys`
    into a ring of `stages`."""

    groups: int
    keys: int
    stages: int
    registers: int  # of each thread of a group


# By exact head size, for 16-bit inputs: two groups where the products take longest, three where
# exponentials do.
_SPECIALIZED: dict[int, Specialized] = {
    64: Specialized(groups=3, keys=128, stages=3, registers=160),
    128: Specialized(groups=2, keys=128, stages=2, registers=240),
}


def choose_specialized(architecture: str, head: int, dtype: torch.dtype) -> Specialized | None:
    """The block of hopper.py for an exact head size; None where it has none."""
    if architecture != "sm_90" or dtype == torch.float32:
        return None
    return _SPECIALIZED.get(head)


@dataclass(frozen=True)
class VocabularyTile:
    """A block of `rows` × `columns` logits, summed over `depth` features at a time."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    resident: int = 1  # programs that one multiprocessor holds at once


# For 16-bit inputs. "many" rows: the largest block whose accumulator leaves registers for the
# statistics; "few", up to 64 rows: bound by reading the unembedding; "narrow": two accumulators,
# or an address for each load where the hardware could have copied whole blocks.
_VOCABULARY: dict[str, dict[str, VocabularyTile]] = {
    "sm_80": {
        "many": VocabularyTile(128, 256, 32, warps=8, stages=4),
        "few": VocabularyTile(64, 64, 64, warps=4, stages=4, resident=2),
        "narrow": VocabularyTile(128, 128, 32, warps=8, stages=4),
    },
    "sm_90": {
        "many": VocabularyTile(128, 256, 64, warps=8, stages=4),
        "few": VocabularyTile(64, 128, 64, warps=4, stages=4, resident=2),
        "narrow": VocabularyTile(128, 128, 64, warps=8, stages=4),
    },
    "sm_100": {
        "many": VocabularyTile(128, 128, 64, warps=8, stages=4),
        "few": VocabularyTile(64, 64, 64, warps=4, stages=4, resident=2),
        "narrow": VocabularyTile(128, 128, 64, warps=8, stages=4),
    },
    "gfx942": {
        "many": VocabularyTile(128, 128, 64, warps=4, stages=2),
        "few": VocabularyTile(64, 128, 64, warps=4, stages=2, resident=2),
        "narrow": VocabularyTile(64, 128, 64, warps=4, stages=2),
    },
    "interpreter": {
        "many": VocabularyTile(64, 1024, 64, warps=1, stages=1),
        "few": VocabularyTile(16, 4096, 64, warps=1, stages=1),
        "narrow": VocabularyTile(64, 1024, 64, warps=1, stages=1),
    },
}
_VOCABULARY_FLOAT32 = VocabularyTile(64, 64, 32, warps=8, stages=2)


def choose_vocabulary(
    architecture: str, rows: int, dtype: torch.dtype, *, narrow: bool
) -> VocabularyTile:
    """The block for so many rows; `columns` is at least `rows` in each."""
    if dtype == torch.float32 and architecture != "interpreter":
        return _VOCABULARY_FLOAT32
    kind = "few" if rows <= 64 else "narrow" if narrow else "many"
    return _VOCABULARY[architecture][kind]
