"""Block shapes of the fused kernels per GPU and head size: a table to read, not a search to run."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tile:
    """One program's block: `queries` × `keys` scores, its warps and its software pipeline depth.

    registers: at most so many a thread (NVIDIA), for more programs on a processor.
    """

    queries: int
    keys: int
    warps: int
    stages: int
    registers: int | None = None

    @property
    def options(self) -> dict[str, int]:
        """What Triton is told of it when it compiles a kernel."""
        limit = {} if self.registers is None else {"maxnreg": self.registers}
        return {"num_warps": self.warps, "num_stages": self.stages, **limit}


# By architecture, then by the largest padded head size the row is meant for, for 16-bit inputs.
# Registers decide: the scores have to live until after the exponential, beside the output block.
# With entropy on they spill nothing inside the loops, but for heads of 256 on sm_90.
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
    "sm_100": {
        64: Tile(128, 64, warps=8, stages=3),
        128: Tile(128, 64, warps=8, stages=3),
        256: Tile(64, 32, warps=8, stages=2),
    },
    "gfx942": {
        64: Tile(128, 64, warps=4, stages=1),
        128: Tile(128, 32, warps=8, stages=1),
        256: Tile(64, 32, warps=4, stages=1),
    },
}
# float32 products run outside the matrix units and hold twice the bytes.
_FLOAT32: dict[int, Tile] = {
    64: Tile(64, 32, warps=4, stages=2),
    128: Tile(32, 32, warps=4, stages=2),
    256: Tile(16, 32, warps=4, stages=1),
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


def choose(architecture: str, head: int, dtype: torch.dtype) -> Tile:
    """The block for a padded head size up to 256; `architecture` as `of_device` names it."""
    if architecture == "interpreter":
        return _INTERPRETED
    table = _FLOAT32 if dtype == torch.float32 else _TILES[architecture]
    return next(tile for size, tile in table.items() if head <= size)


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
