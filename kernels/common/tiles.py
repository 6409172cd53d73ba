"""Block shapes of the Triton kernels per GPU and head size: tables to read, not an autotuner."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Tile:
    """The block of one program: `queries` × `keys` scores, its warps and its pipeline depth.

    descriptors: keys and values come by the hardware's bulk copies (TMA), which need no pointer
    registers and so leave room for larger blocks; they take aligned 16-bit tensors.
    lanes: how many adjacent columns of a row lie in different threads, as the matrix units leave
    the scores; sums over every lanes-th column then never cross threads.
    registers: the limit per thread (NVIDIA), so that more programs fit on a multiprocessor.
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
        """The compile options that Triton takes for this block."""
        limit = {} if self.registers is None else {"maxnreg": self.registers}
        return {"num_warps": self.warps, "num_stages": self.stages, **limit}


# By architecture, then by the largest padded head size that the row serves, for 16-bit inputs.
# Registers decide: scores stay alive until after the exponential, together with the output block.
_ATTENTION: dict[str, dict[int, Tile]] = {
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
_ATTENTION_DESCRIPTORS: dict[str, dict[int, Tile]] = {
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
# float32 products run outside the matrix units and take twice the bytes.
_ATTENTION_FLOAT32: dict[int, Tile] = {
    64: Tile(64, 32, warps=8, stages=2, lanes=1),
    128: Tile(32, 16, warps=8, stages=2, lanes=1),
    256: Tile(16, 32, warps=8, stages=1, lanes=1),
}
# The second sweep keeps neither V nor an output block, so two programs fit on a multiprocessor of
# sm_90: one computes exponentials while the other multiplies. Registers spill outside the loops
# only, except where tiles leave gaps in their blocks.
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


def padded_size(size: int) -> int:
    """Return the power of two, at least 16, that a head of this size is padded to."""
    return max(16, 1 << (size - 1).bit_length())


def choose_attention(
    architecture: str, head: int, dtype: torch.dtype, *, descriptors: bool, narrow: bool
) -> Tile:
    """Return the block for a padded head size up to 256 on an architecture (`architecture_of`).

    descriptors: whether bulk copies can read the keys and values (`takes_descriptors`);
    narrow: whether statistics that need registers are requested (`needs_registers`).
    """
    if architecture == "interpreter":
        return _INTERPRETED
    if dtype == torch.float32:
        table = _ATTENTION_FLOAT32
    elif descriptors and architecture in _ATTENTION_DESCRIPTORS:
        table = _ATTENTION_DESCRIPTORS[architecture]
    else:
        table = _ATTENTION[architecture]
    tile = next(tile for size, tile in table.items() if head <= size)
    return replace(tile, keys=max(16, tile.keys // 2)) if narrow else tile


def choose_sweep(architecture: str, head: int, dtype: torch.dtype) -> Tile:
    """Return the block of the second sweep for a padded head size up to 256."""
    if architecture == "interpreter":
        return _INTERPRETED
    table = _SWEEP_FLOAT32 if dtype == torch.float32 else _SWEEP[architecture]
    return next(tile for size, tile in table.items() if head <= size)


def choose_distance(architecture: str, head: int, dtype: torch.dtype) -> Tile:
    """Return the block of the sums by distance: those queries stay in registers, keys pass by."""
    tile = choose_sweep(architecture, head, dtype)
    return replace(tile, queries=tile.keys, keys=tile.queries)


def architecture_of(device: torch.device) -> str:
    """Return the key of the tables for this device: the newest architecture that it includes."""
    if device.type != "cuda":
        return "interpreter"
    if torch.version.hip is not None:
        return "gfx942"
    major, _ = torch.cuda.get_device_capability(device)
    return "sm_100" if major == 10 else "sm_90" if major == 9 else "sm_80"


@dataclass(frozen=True)
class HopperTile:
    """The block of one program of `hopper_kernel`.

    `groups` warp groups of 64 queries each; one more warp copies tiles of `keys` into a ring of
    `stages`; each thread of a group has `registers`.
    """

    groups: int
    keys: int
    stages: int
    registers: int


# By exact head size, for 16-bit inputs: two groups where products take longest, three where
# exponentials do.
_HOPPER: dict[int, HopperTile] = {
    64: HopperTile(groups=3, keys=128, stages=3, registers=160),
    128: HopperTile(groups=2, keys=128, stages=2, registers=240),
}


def choose_hopper(architecture: str, head: int, dtype: torch.dtype) -> HopperTile | None:
    """Return the block of `hopper_kernel` for an exact head size; None where it has none."""
    if architecture != "sm_90" or dtype == torch.float32:
        return None
    return _HOPPER.get(head)


# The same for `hopper_lazy`, by the width that heads are padded to; "narrow" where statistics keep
# more registers alive. Compiled and counted, not timed: see tests/benchmarks/README.md.
_HOPPER_LAZY: dict[int, dict[str, HopperTile]] = {
    64: {
        "wide": HopperTile(groups=3, keys=128, stages=3, registers=160),
        "narrow": HopperTile(groups=3, keys=64, stages=4, registers=160),
    },
    128: dict.fromkeys(("wide", "narrow"), HopperTile(groups=2, keys=128, stages=2, registers=240)),
    256: dict.fromkeys(("wide", "narrow"), HopperTile(groups=2, keys=64, stages=2, registers=240)),
}
_HOPPER_PADDED = range(72, 128, 8)  # heads that are padded to 128: by up to 1.8 ×
# Of the second sweep's Hopper kernel: keys that stay in shared memory, blocks of queries per group.
_HOPPER_SUMS = HopperTile(groups=3, keys=128, stages=2, registers=160)


def takes_untimed() -> bool:
    """Return whether kernels are taken that compile, but that no GPU has run yet.

    Only ATTENTROPY_HOPPER=lazy in the environment asks for them.
    """
    return os.environ.get("ATTENTROPY_HOPPER") == "lazy"


def choose_hopper_lazy(
    architecture: str, head: int, dtype: torch.dtype, *, narrow: bool
) -> HopperTile | None:
    """Return the block of `hopper_lazy` for a head size; None where it has none, or is not taken.

    narrow: whether statistics that need registers are requested (`needs_registers`).
    """
    if architecture != "sm_90" or dtype == torch.float32 or not takes_untimed():
        return None
    blocks = _HOPPER_LAZY.get(128 if head in _HOPPER_PADDED else head, {})
    return blocks.get("narrow" if narrow else "wide")


def choose_hopper_sums(architecture: str, head: int, dtype: torch.dtype) -> HopperTile | None:
    """Return the block of the second sweep on Hopper; None where there is none, or is not taken."""
    is_served = architecture == "sm_90" and dtype != torch.float32 and head in (64, 128)
    return _HOPPER_SUMS if is_served and takes_untimed() else None


@dataclass(frozen=True)
class VocabularyTile:
    """The block of one program: `rows` × `columns` logits, `depth` features at a time."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    resident: int = 1  # programs that run on one multiprocessor at once


# For 16-bit inputs. "many" rows: the largest block whose accumulator leaves registers for the
# statistics; "few", up to 64 rows: limited by reading the unembedding; "narrow": two accumulators,
# or addresses for each load where the hardware could have copied blocks.
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
    """Return the block for so many rows; its `columns` are at least its `rows`."""
    if dtype == torch.float32 and architecture != "interpreter":
        return _VOCABULARY_FLOAT32
    kind = "few" if rows <= 64 else "narrow" if narrow else "many"
    return _VOCABULARY[architecture][kind]
