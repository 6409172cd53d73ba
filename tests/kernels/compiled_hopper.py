"""Compiles Hopper's kernel, which need not be there: python compiled_hopper.py [NAME ...]

NAME is sm_90/HEAD/VARIANT, for example sm_90/128/entropy; see compiled.py for what is printed, and
uniform.py for `unwritten`.
"""

import sys
from contextlib import nullcontext

import torch
import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource
from triton.experimental.gluon.language import NVMMASharedLayout
from uniform import unwritten

from attentropy.kernels.attention import hopper_kernel as hopper
from attentropy.kernels.common import tiles
from compiled import TARGETS, facts, listing, main, replaced

VARIANTS = {
    "off": {},
    "plain": {},  # no entropy in the source: its machine code is that of "off"
    "entropy": {"entropy": "*fp32"},
    "full": {"entropy": "*fp32", "CAUSAL": False},
    "both": {"entropy": "*fp32", "max_prob": "*fp32"},
}
HEADS = (64, 128)


def build(architecture: str, size: str, variant: str) -> triton.compiler.CompiledKernel:
    """The kernel as `specialized.forward` launches it for bfloat16."""
    head, changes = int(size), VARIANTS[variant]
    tile = tiles.choose_specialized(architecture, head, torch.bfloat16)
    layout = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    constants = {
        "GROUPS": tile.groups, "D": head, "BN": tile.keys, "STAGES": tile.stages,
        "REGISTERS": tile.registers, "CAUSAL": changes.get("CAUSAL", True),
        **{name: None for name in ("entropy", "max_prob") if name not in changes},
    }  # fmt: skip
    names = hopper.forward.arg_names
    types = dict.fromkeys(names, "i32") | {"out": "*bf16", "lse": "*fp32", "c": "fp32"}
    for name, rows in {"q": hopper.ROWS.value, "k": tile.keys, "v": tile.keys}.items():
        types[name] = f"tensordesc<bf16[1, 1, {rows}, {head}],{layout!r}>"
    types |= {name: value for name, value in changes.items() if not name.isupper()}
    types |= dict.fromkeys(constants, "constexpr")
    aligned = [names.index(name) for name, kind in types.items() if kind[0] == "*"]
    source = GluonASTSource(
        hopper.forward, types, constants, {(at,): [["tt.divisibility", 16]] for at in aligned}
    )
    plain = replaced(hopper, "_softmax", plain_softmax)
    with plain if variant == "plain" else nullcontext():
        return triton.compile(source, target=TARGETS[architecture], options={"num_warps": 4})


@gluon.jit
def plain_softmax(b_s, b_m, b_l, b_t, c, ENTROPY: gl.constexpr):
    """The online softmax as attention without entropy has it."""
    b_top = gl.maximum(b_m, gl.max(b_s, 1))
    b_p = gl.exp2(gl.fma(b_s, c, -gl.expand_dims(b_top * c, 1)))
    b_factor = gl.exp2((b_m - b_top) * c)
    b_l = hopper._beside(b_factor, b_l) * b_l + gl.sum(hopper._parts(b_p, hopper._LANES), 1)
    return b_top, b_l, b_t, b_p, b_factor


def told(kernel: triton.compiler.CompiledKernel) -> dict[str, object]:
    return facts(kernel) | {"unwritten": len(unwritten(listing(kernel)))}


if __name__ == "__main__":
    main(sys.argv[1:], build, [f"sm_90/{head}/{v}" for head in HEADS for v in VARIANTS], told)
