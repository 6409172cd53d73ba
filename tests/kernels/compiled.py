"""Compiles the attention kernel for GPUs that need not be there: python compiled.py ARCH HEAD ...

Prints one JSON line per kernel: registers and bytes (NVIDIA) or registers (AMD) spilled. It runs in
a process of its own because Triton compiles nothing where its interpreter was chosen.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attentropy.kernels import tiles
from attentropy.kernels.forward import forward

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def build(architecture: str, head: int) -> triton.compiler.CompiledKernel:
    """The kernel for dense bfloat16 tensors, causal, with entropy, as `attention` launches it."""
    tile = tiles.choose(architecture, tiles.padded(head), torch.bfloat16)
    absent = ["max_prob", "varentropy", "distance", "sink_mass", "top_key", "sink_prob"]
    absent += ["starts", "lengths", "segments", "slopes", "sinks"]
    constants: dict[str, object] = {
        "D": head,
        "DV": head,
        "BM": tile.queries,
        "BN": tile.keys,
        "BD": tiles.padded(head),
        "BE": tiles.padded(head),
        "PRECISION": "tf32",
        "CAUSAL": True,
        "stride_qd": 1,
        "stride_kd": 1,
        "stride_vd": 1,
        **dict.fromkeys(("WINDOW", "CHUNK", "SPLIT", "SCALED", "SOFTCAP"), False),
        **dict.fromkeys(absent),
    }
    types = dict.fromkeys(forward.arg_names, "i32")
    types |= dict.fromkeys(("q", "k", "v", "out"), "*bf16")
    types |= {"lse": "*fp32", "entropy": "*fp32"}
    types |= dict.fromkeys(("c", "scale", "softcap"), "fp32")
    types |= dict.fromkeys(constants, "constexpr")
    place = forward.arg_names.index
    aligned = [n for n, t in types.items() if t[0] == "*" or (t == "i32" and n[:6] == "stride")]
    source = ASTSource(
        forward,
        types,
        constexprs={(place(name),): value for name, value in constants.items()},
        attrs={(place(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    return triton.compile(source, target=TARGETS[architecture], options=options)


def spills(kernel: triton.compiler.CompiledKernel) -> int:
    """What does not fit into registers: bytes of stack (NVIDIA) or vector registers (AMD)."""
    if "amdgcn" in kernel.asm:
        return int(re.findall(r"\.vgpr_spill_count:\s*(\d+)", kernel.asm["amdgcn"])[0])
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [CUOBJDUMP, "-res-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"STACK:(\d+)", said)[0])


if __name__ == "__main__":
    for architecture, head in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        spilled = spills(build(architecture, int(head)))
        print(json.dumps({"architecture": architecture, "head": int(head), "spilled": spilled}))
