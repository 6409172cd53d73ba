"""Compile the variants of the Hopper kernel without a GPU, as compiled.py does attention's.

Usage: python compiled_variants.py [--table] [NAME ...]

NAME is VARIANT/HEAD/STATISTICS with the statistics joined by commas ("off" without any), then
/full for full attention and /NAMEVALUE for each change of the block, for example
lazy/64/entropy/BN64/STAGES4. See compiled.py for what is printed, and tests/benchmarks/variants for
what the variants are.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import triton
from compiled_lazy import build_lazy

from attentropy.kernels.common.tiles import HopperTile
from compiled import main
from compiled_hopper import ahead, all_facts

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "variants"))

from variants import EVERY, JOBS, TILES, module


def job_names() -> list[str]:
    """Return the names of all kernels that are measured."""
    names = []
    for name, head, stats, causal, tile in JOBS:
        options = [] if causal else ["full"]
        options += [f"{key}{value}" for key, value in tile.items()]
        names.append("/".join([name, str(head), ",".join(stats) or "off", *options]))
    return names


def build(name: str, size: str, *options: str) -> triton.compiler.CompiledKernel:
    """Compile a variant as it is launched for bfloat16."""
    kernel, head = module(name).forward, int(size)
    stats = [] if options[0] == "off" else options[0].split(",")
    changes = (re.fullmatch(r"([A-Z]+)(\d+)", option) for option in options[1:])
    tile = TILES[head] | {match[1]: int(match[2]) for match in changes if match}
    if name == "lazy":
        block = HopperTile(*(tile[part] for part in ("GROUPS", "BN", "STAGES", "REGISTERS")))
        return build_lazy(head, stats, block, causal="full" not in options)
    absent = [stat for stat in EVERY if stat in kernel.arg_names and stat not in stats]
    constants = tile | {"D": head, "CAUSAL": "full" not in options} | dict.fromkeys(absent)
    pointers = {stat: "*i32" if stat == "top_key" else "*fp32" for stat in stats}
    return ahead(kernel, pointers, constants)


if __name__ == "__main__":
    main(sys.argv[1:], build, job_names(), all_facts)
