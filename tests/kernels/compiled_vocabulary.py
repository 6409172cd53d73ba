"""Compile the vocabulary kernel without a GPU, as compiled.py does the attention kernel.

python compiled_vocabulary.py [--table] [ARCHITECTURE/VARIANT ...], for example sm_90/entropy;
without any, all of them. One JSON line each, or a Markdown table.
"""

from __future__ import annotations

import sys

import torch
import triton

from attentropy.kernels.common import tiles
from attentropy.kernels.vocabulary.triton_kernel import sweep
from compiled import TARGETS, ahead, main

ENTROPY = {"t": "*fp32"}
TOP5 = {"keys": "*i64", "TOP": 5, "SLOTS": 8}
TARGET = {"targets": "*i32", "target_logit": "*fp32", "rank": "*i32"}
FINAL = dict.fromkeys(("m_f", "l_f", "r"), "*fp32")
# What differs from the log-sum-exp of bfloat16 logits, many rows, features a multiple of the depth.
VARIANTS: dict[str, dict[str, object]] = {
    "off": {},
    "entropy": ENTROPY,
    "top5": ENTROPY | TOP5,
    "top32": ENTROPY | TOP5 | {"TOP": 32, "SLOTS": 32},
    "targets": ENTROPY | TARGET,
    "lens": ENTROPY | TOP5 | TARGET,
    "few": ENTROPY | TOP5 | TARGET,
    "kl": ENTROPY | TOP5 | TARGET | FINAL,
    "few+kl": ENTROPY | TOP5 | TARGET | FINAL,
    "softcap": ENTROPY | TOP5 | TARGET | {"bias": "*bf16", "SCALE": True, "SOFTCAP": True},
    "pointers": ENTROPY | TOP5 | TARGET | {"DESCRIPTORS": False},
    "float32": ENTROPY | TOP5 | TARGET | {"PRECISION": "ieee", "DESCRIPTORS": False},
}
OPTIONAL = ("bias", "final", "targets", "target_logit", "t", "m_f", "l_f", "r", "keys", "rank")


def build(architecture: str, variant: str) -> triton.compiler.CompiledKernel:
    """Compile `sweep` as it is launched for dense tensors of 4,096 features."""
    changes = VARIANTS[variant]
    kind = torch.float32 if changes.get("PRECISION") == "ieee" else torch.bfloat16
    copies = architecture in ("sm_90", "sm_100") and changes.get("DESCRIPTORS", True)
    tile = tiles.choose_vocabulary(
        architecture,
        16 if variant.startswith("few") else 4096,
        kind,
        narrow="r" in changes or (architecture in ("sm_90", "sm_100") and not copies),
    )
    constants: dict[str, object] = {
        "D": 4096,
        "BM": tile.rows,
        "BN": tile.columns,
        "BK": tile.depth,
        "TOP": 0,
        "SLOTS": 1,
        "PRECISION": "tf32",
        **dict.fromkeys(("SCALE", "SOFTCAP"), False),
        **dict.fromkeys(("stride_hd", "stride_wd", "stride_fd"), 1),
        **{name: value for name, value in changes.items() if name.isupper()},
        "DESCRIPTORS": copies,
    }
    element = "fp32" if kind == torch.float32 else "bf16"
    types = dict.fromkeys(sweep.arg_names, "i32")
    types |= dict.fromkeys(("m", "l"), "*fp32") | dict.fromkeys(("scale", "softcap"), "fp32")
    types |= {name: str(value) for name, value in changes.items() if not name.isupper()}
    reads = ("hidden", "unembedding", *(("final",) if "r" in changes else ()))
    for name in reads:
        side = tile.columns if name == "unembedding" else tile.rows
        block = f"tensordesc<{element}[{side}, {tile.depth}]>"
        types[name] = block if copies else f"*{element}"
    constants |= {name: None for name in OPTIONAL if name not in changes and name not in reads}
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    return ahead(sweep, types, constants, architecture, options)


if __name__ == "__main__":
    main(sys.argv[1:], build, [f"{a}/{v}" for a in TARGETS for v in VARIANTS])
