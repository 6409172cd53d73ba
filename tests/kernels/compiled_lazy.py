"""Compile Hopper's kernels that no GPU has run yet, as compiled.py does attention's.

Usage: python compiled_lazy.py [--table] [NAME ...]

NAME is sm_90/HEAD/FORM, for example sm_90/128/default, or sm_90/HEAD/sums for the second sweep; see
compiled.py for what is printed, and uniform.py for `unwritten`. `loop` is the instructions of the
shortest loop that has exponentials, per thread: that over keys or queries which nothing hides;
`wait` is how many exponentials in it stand before the wait for all products.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import triton

from attentropy.kernels.attention import hopper_lazy, hopper_top_key
from attentropy.kernels.common import tiles
from attentropy.kernels.common.statistics import STATISTICS, is_integer
from attentropy.kernels.common.tiles import HopperTile
from attentropy.kernels.second_sweep import hopper_kernel
from compiled import ahead as ahead_of_triton
from compiled import listing, main
from compiled_hopper import ahead, all_facts

DEFAULT = ("entropy", "max_prob", "distance", "sink_mass", "top_key")
EVERY = (*DEFAULT, "varentropy", "max_logit")
EDGES = ("starts", "lengths", "sinks", "sink_prob")
OPTIONAL = (*STATISTICS, "starts", "lengths", "sinks")
# What is computed or given, and whether without causal order.
FORMS: dict[str, tuple[tuple[str, ...], bool]] = {
    "off": ((), True),
    "entropy": (("entropy",), True),
    "default": (DEFAULT, True),
    "every": (EVERY, True),
    "full": (DEFAULT, False),
    "padded": ((*DEFAULT, "starts", "lengths"), True),
    "sinks": ((*DEFAULT, "sinks", "sink_prob"), True),
    "edges": ((*EVERY, *EDGES), True),
    "full edges": ((*EVERY, *EDGES), False),
}
SUMS = {"sums": True, "full sums": False}
HEADS = (64, 96, 128, 256)


def build(architecture: str, size: str, form: str) -> triton.compiler.CompiledKernel:
    """Compile a kernel as it is launched for bfloat16."""
    head = int(size)
    if form in SUMS:
        return _build_sums(head, SUMS[form])
    if form == "top key":
        return _build_top_key(head)
    names, causal = FORMS[form]
    narrow = any(STATISTICS[name].needs_registers for name in names if name in STATISTICS)
    block = tiles._HOPPER_LAZY[tiles.padded_size(head)]["narrow" if narrow else "wide"]
    return build_lazy(head, names, block, causal=causal, architecture=architecture)


def build_lazy(
    head: int, names: Iterable[str], block: HopperTile, *, causal: bool = True,
    architecture: str = "sm_90",
) -> triton.compiler.CompiledKernel:  # fmt: skip
    """Compile `hopper_lazy` with some statistics, padding or sinks."""
    constants: dict[str, object] = {
        "GROUPS": block.groups, "D": tiles.padded_size(head), "DIM": head, "BN": block.keys,
        "STAGES": block.stages, "REGISTERS": block.registers, "CAUSAL": causal,
        **{name: None for name in OPTIONAL if name not in names},
    }  # fmt: skip
    integers = ("starts", "lengths")
    pointers = {n: "*i32" if n in integers or is_integer(n) else "*fp32" for n in names}
    return ahead(hopper_lazy.forward, pointers, constants, architecture)


def _build_sums(head: int, causal: bool) -> triton.compiler.CompiledKernel:
    block = tiles._HOPPER_SUMS
    constants: dict[str, object] = {
        "D": head, "BN": block.keys, "STAGES": block.stages, "REGISTERS": block.registers,
        "CAUSAL": causal,
    }  # fmt: skip
    return ahead(hopper_kernel.received, {"out": "*fp32"}, constants)


def _build_top_key(head: int) -> triton.compiler.CompiledKernel:
    kernel = hopper_top_key.resolve
    block = tiles._HOPPER_LAZY[tiles.padded_size(head)]["narrow"]
    types = dict.fromkeys(kernel.arg_names, "i32")
    types |= {"q": "*bf16", "k": "*bf16", "top_key": "*i32", "starts": "*i32", "lengths": "*i32"}
    constants = {
        "D": head, "BD": tiles.padded_size(head), "BM": 32, "BN": block.keys, "CAUSAL": True,
        "stride_qd": 1, "stride_kd": 1,
    }  # fmt: skip
    return ahead_of_triton(kernel, types, constants, "sm_90", {"num_warps": 4})


def facts(kernel: triton.compiler.CompiledKernel) -> dict[str, object]:
    """Return the facts of a kernel, and of its loop without a mask."""
    loop = shortest_loop(listing(kernel))
    return all_facts(kernel) | {"loop": len(loop), "wait": exponentials_before_wait(loop)}


def shortest_loop(text: str) -> list[str]:
    """Return the instructions of the shortest loop with exponentials in a listing."""
    code = [
        (int(place, 16), line)
        for place, line in re.findall(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(.*?);", text, re.M)
    ]
    index = {place: i for i, (place, _) in enumerate(code)}
    loops = []
    for i, (place, line) in enumerate(code):
        jump = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)", line)
        if jump and int(jump[1], 16) < place:
            body = [line for _, line in code[index[int(jump[1], 16)] : i + 1]]
            if sum("MUFU.EX2" in line for line in body) >= 16:
                loops.append(body)
    return min(loops, key=len, default=[])


def exponentials_before_wait(loop: list[str]) -> int | None:
    """Return how many exponentials of a loop stand before its wait for all products, if it has one.

    What stands before it overlaps with the products of the same warp group.
    """
    for i, line in enumerate(loop):
        if re.search(r"WARPGROUP\.DEPBAR.*, 0x0\b", line):
            return sum("MUFU.EX2" in line for line in loop[:i])
    return None


def all_names() -> list[str]:
    """Return the names of all kernels."""
    names = [f"sm_90/{head}/{form}" for head in HEADS for form in FORMS]
    return names + [f"sm_90/{head}/{form}" for head in (64, 128) for form in (*SUMS, "top key")]


if __name__ == "__main__":
    main(sys.argv[1:], build, all_names(), facts)
