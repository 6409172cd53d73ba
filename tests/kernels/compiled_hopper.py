"""Compile the Hopper kernel without a GPU, as compiled.py does the attention kernel.

Usage: python compiled_hopper.py [--table] [NAME ...]

NAME is sm_90/HEAD/VARIANT, for example sm_90/128/entropy; see compiled.py for what is printed, and
uniform.py for `unwritten`.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

import torch
import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource
from triton.experimental.gluon.language import NVMMASharedLayout

from attentropy.kernels.attention import hopper_kernel as hopper
from attentropy.kernels.common import tiles
from compiled import TARGETS, facts, listing, main, replaced
from uniform import unwritten

VARIANTS: dict[str, dict[str, object]] = {
    "off": {},
    "plain": {},  # no entropy in the source: its machine code is that of "off"
    "entropy": {"entropy": "*fp32"},
    "full": {"entropy": "*fp32", "CAUSAL": False},
    "both": {"entropy": "*fp32", "max_prob": "*fp32"},
}
HEADS = (64, 128)


def build(architecture: str, size: str, variant: str) -> triton.compiler.CompiledKernel:
    """Compile the kernel as `hopper_launch` launches it for bfloat16."""
    head, changes = int(size), VARIANTS[variant]
    tile = tiles.choose_hopper(architecture, head, torch.bfloat16)
    assert tile is not None
    constants = {
        "GROUPS": tile.groups, "D": head, "BN": tile.keys, "STAGES": tile.stages,
        "REGISTERS": tile.registers, "CAUSAL": changes.get("CAUSAL", True),
        **{name: None for name in ("entropy", "max_prob") if name not in changes},
    }  # fmt: skip
    types = {name: str(kind) for name, kind in changes.items() if not name.isupper()}
    plain = replaced(hopper, "_softmax", plain_softmax)
    with plain if variant == "plain" else nullcontext():
        return ahead(hopper.forward, types, constants, architecture)


def ahead(
    kernel: gluon.JITFunction,
    pointers: dict[str, str],
    constants: dict[str, object],
    architecture: str = "sm_90",
) -> triton.compiler.CompiledKernel:
    """Compile a kernel that reads blocks of q, k and, if it has one, v by tensor descriptors."""
    head, keys = constants["D"], constants["BN"]
    layout = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    names = kernel.arg_names
    types = dict.fromkeys(names, "i32") | {"out": "*bf16", "lse": "*fp32", "c": "fp32"}
    for name, rows in {"q": hopper.ROWS.value, "k": keys, "v": keys}.items():
        if name in names:
            types[name] = f"tensordesc<bf16[1, 1, {rows}, {head}],{layout!r}>"
    types |= pointers | dict.fromkeys(constants, "constexpr")
    aligned = [names.index(name) for name, kind in types.items() if kind[0] == "*"]
    attributes = {(at,): [["tt.divisibility", 16]] for at in aligned}
    source = GluonASTSource(kernel, types, constants, attributes)
    return triton.compile(source, target=TARGETS[architecture], options={"num_warps": 4})


@gluon.jit
def plain_softmax(b_s, b_m, b_l, b_t, c, ENTROPY: gl.constexpr):
    """Take one step of the online softmax, as attention without entropy has it."""
    b_top = gl.maximum(b_m, gl.max(b_s, 1))
    b_p = gl.exp2(gl.fma(b_s, c, -gl.expand_dims(b_top * c, 1)))
    b_factor = gl.exp2((b_m - b_top) * c)
    b_l = hopper._column(b_factor, b_l) * b_l + gl.sum(hopper.parts(b_p, hopper.LANES), 1)
    return b_top, b_l, b_t, b_p, b_factor


def all_facts(kernel: triton.compiler.CompiledKernel) -> dict[str, object]:
    """Return the facts of a kernel and how many unwritten uniform registers it reads."""
    return facts(kernel) | {"unwritten": len(unwritten(listing(kernel)))}


if __name__ == "__main__":
    names = [f"sm_90/{head}/{variant}" for head in HEADS for variant in VARIANTS]
    main(sys.argv[1:], build, names, all_facts)
