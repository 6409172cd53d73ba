"""Compile the attention kernel without a GPU and print facts about its machine code.

Usage: python compiled.py [--table] [NAME ...]

NAME is ARCHITECTURE/HEAD/VARIANT, for example sm_90/128/entropy, or sm_90/128/window-off for the
same without entropy; without any, all variants. Prints one JSON line per kernel (`--table`: a
Markdown table): what ptxas or the AMD assembler reports about registers and spills, and how often
the expensive instructions occur. It runs in its own process because Triton compiles nothing in
a process where its interpreter is on.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attentropy.kernels.attention import triton_kernel
from attentropy.kernels.attention.triton_kernel import forward
from attentropy.kernels.common import tiles
from attentropy.kernels.common.statistics import STATISTICS, is_integer
from attentropy.kernels.common.triton_online import lane_sums

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"

Build = Callable[..., triton.compiler.CompiledKernel]

STATS = tuple(name for name in STATISTICS if not is_integer(name))
TABLES = {"starts": "*i32", "lengths": "*i32", "segments": "*i32", "slopes": "*fp32"}
# What differs from a causal pass of bfloat16 without a statistic.
VARIANTS: dict[str, dict[str, object]] = {
    "off": {},
    "plain": {},  # no entropy in the source: its machine code is that of "off"
    "pointers": {"entropy": "*fp32", "DESCRIPTORS": False},
    "packed": {"entropy": "*fp32", "PACKED": True, "SPLIT": True},
    "entropy": {"entropy": "*fp32"},
    "full": {"entropy": "*fp32", "CAUSAL": False},
    "statistics": {
        name: "*i32" if is_integer(name) else "*fp32" for name in STATISTICS if name != "sink_prob"
    },
    "window": {"entropy": "*fp32", "WINDOW": True, "sinks": "*fp32", "sink_prob": "*fp32"},
    "softcap": {"entropy": "*fp32", "WINDOW": True, "SCALED": True, "SOFTCAP": True},
    "chunk": {"entropy": "*fp32", "CHUNK": True, "starts": "*i32"},
    "padding": {"entropy": "*fp32", "starts": "*i32", "lengths": "*i32"},
    "segments": {"entropy": "*fp32", "segments": "*i32"},
    "slopes": {"entropy": "*fp32", "slopes": "*fp32", "SCALED": True},
    "split": {"entropy": "*fp32", "SPLIT": True},
    "float32": {"entropy": "*fp32", "PRECISION": "ieee"},
    "everything": dict.fromkeys(STATS, "*fp32")
    | {"top_key": "*i32", "sinks": "*fp32", **TABLES}
    | dict.fromkeys(("WINDOW", "CHUNK", "SCALED", "SOFTCAP"), True),
}
OPTIONAL = (*STATS, "top_key", *TABLES, "sinks")


def build(architecture: str, size: str, variant: str) -> triton.compiler.CompiledKernel:
    """Compile the kernel as `attention` launches it for dense tensors."""
    head = int(size)
    changes = dict(VARIANTS[variant.removesuffix("-off")])
    if variant.endswith("-off"):
        del changes["entropy"]
    single = changes.get("PRECISION") == "ieee"
    block = tiles.padded_size(head)
    tile = tiles.choose_attention(
        architecture, block, torch.float32 if single else torch.bfloat16,
        descriptors=changes.get("DESCRIPTORS", not single),
        narrow=any(STATISTICS[name].needs_registers for name in changes if name in STATISTICS),
    )  # fmt: skip
    constants: dict[str, object] = {
        "D": head,
        "DV": head,
        "BM": tile.queries,
        "BN": tile.keys,
        "BD": block,
        "BE": block,
        "PRECISION": "tf32",
        "CAUSAL": True,
        "stride_qd": 1,
        "stride_kd": 1,
        "stride_vd": 1,
        **dict.fromkeys(("WINDOW", "CHUNK", "SPLIT", "PACKED", "SCALED", "SOFTCAP"), False),
        **{name: None for name in OPTIONAL if name not in changes},
        **{name: value for name, value in changes.items() if name.isupper()},
        "DESCRIPTORS": tile.descriptors,
        "LANES": tile.lanes,
    }
    types = dict.fromkeys(forward.arg_names, "i32")
    types |= dict.fromkeys(("q", "k", "v", "out"), "*fp32" if single else "*bf16")
    if tile.descriptors:
        types["k"] = types["v"] = f"tensordesc<bf16[1, 1, {tile.keys}, {block}]>"
    types |= {"lse": "*fp32"} | dict.fromkeys(("c", "scale", "softcap"), "fp32")
    types |= {name: str(value) for name, value in changes.items() if not name.isupper()}
    plain = replaced(triton_kernel, "online_step", plain_step)
    with plain if variant == "plain" else nullcontext():
        return ahead(forward, types, constants, architecture, tile.options)


def ahead(
    kernel: triton.JITFunction,
    types: dict[str, str],
    constants: dict[str, object],
    architecture: str,
    options: dict[str, int],
) -> triton.compiler.CompiledKernel:
    """Compile a kernel as its launcher would for aligned tensors and strides."""
    types = types | dict.fromkeys(constants, "constexpr")
    place = kernel.arg_names.index
    aligned = [n for n, t in types.items() if t[0] == "*" or (t == "i32" and n[:6] == "stride")]
    source = ASTSource(
        kernel,
        types,
        constexprs={(place(name),): value for name, value in constants.items()},
        attrs={(place(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    return triton.compile(source, target=TARGETS[architecture], options=options)


@triton.jit
def plain_step(b_m, b_l, b_t, b_u, b_s, b_high, c, ENTROPY: tl.constexpr, VARENTROPY: tl.constexpr):
    """Take one step of the online softmax, as attention without entropy has it."""
    b_top = tl.maximum(b_m, b_high)
    b_shift = b_top * c
    b_p = tl.exp2(tl.fma(b_s, c, -b_shift[:, None]))
    b_factor = tl.exp2((b_m - b_top) * c)
    return b_top, b_factor[:, None] * b_l + lane_sums(b_p, b_l.shape[1]), b_t, b_u, b_p, b_factor


@contextmanager
def replaced(module: ModuleType, name: str, function: triton.JITFunction) -> Iterator[None]:
    """Make the module's kernels use `function` instead of their own function of that name."""
    own = getattr(module, name)
    setattr(module, name, function)
    _forget_sources(module)
    try:
        yield
    finally:
        setattr(module, name, own)
        _forget_sources(module)


def _forget_sources(module: ModuleType) -> None:
    """Make Triton read the module's functions again, whose hashes are its cache keys."""
    for function in vars(module).values():
        if isinstance(function, triton.JITFunction):
            function.hash = None


@lru_cache(maxsize=1)
def listing(kernel: triton.compiler.CompiledKernel) -> str:
    """Return what cuobjdump prints of a kernel for NVIDIA: its resources and instructions."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [CUOBJDUMP, "-res-usage", "-sass", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def facts(kernel: triton.compiler.CompiledKernel) -> dict[str, object]:
    """Return registers per thread, spilled bytes (NVIDIA) or registers (AMD), instructions, …"""
    shared = kernel.metadata.shared
    if "amdgcn" in kernel.asm:
        text = kernel.asm["amdgcn"]

        def read(name: str) -> int:
            return int(re.findall(rf"\.{name}:\s*(\d+)", text)[0])

        words = re.findall(r"^\s+([vsdb]\w+)", text, flags=re.M)
        counted = {
            "exponentials": sum(word.startswith("v_exp_f32") for word in words),
            "matrix": sum("mfma" in word for word in words),
            "fma": sum(word.startswith(("v_fma_f32", "v_fmac_f32", "v_pk_fma")) for word in words),
            "tf32": sum("xf32" in word for word in words),
        }
        registers, spilled = read("vgpr_count"), read("vgpr_spill_count")
    else:
        dumped = listing(kernel)
        words = re.findall(r"/\*[0-9a-f]{4,5}\*/\s+(?:@!?U?P\d+ )?([A-Z][\w.]*)", dumped)
        counted = {
            "exponentials": words.count("MUFU.EX2"),
            "matrix": sum(word.startswith(("HMMA", "HGMMA", "UTCHMMA")) for word in words),
            "fma": sum(word.startswith("FFMA") for word in words),
            "tf32": sum("TF32" in word for word in words),
        }
        registers = int(re.findall(r"REG:(\d+)", dumped)[0])
        spilled = int(re.findall(r"STACK:(\d+)", dumped)[0])
    return {
        "registers": registers, "spilled": spilled, "shared": shared, "instructions": len(words),
        **counted, "code": hashlib.sha256(" ".join(words).encode()).hexdigest()[:8],
    }  # fmt: skip


def main(
    names: list[str], build: Build, every: list[str], facts: Callable[..., dict] = facts
) -> None:
    """Print the facts of every kernel in `names`, which `build` compiles from a name's parts."""
    table = "--table" in names
    for i, name in enumerate([name for name in names if name != "--table"] or every):
        row = {"name": name, **facts(build(*name.split("/")))}
        if not table:
            print(json.dumps(row), flush=True)
            continue
        if i == 0:
            print("| " + " | ".join(row) + " |\n|" + " --- |" * len(row))
        print("| " + " | ".join(map(str, row.values())) + " |", flush=True)


def all_names(variants: Iterable[str]) -> list[str]:
    """Return ARCHITECTURE/HEAD/VARIANT of every combination."""
    return [f"{a}/{head}/{v}" for a in TARGETS for head in (64, 128, 256) for v in variants]


if __name__ == "__main__":
    main(sys.argv[1:], build, all_names(VARIANTS))
