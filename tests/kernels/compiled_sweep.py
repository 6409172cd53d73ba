"""Compile the second sweep without a GPU, as compiled.py does the attention kernel.

Usage: python compiled_sweep.py [--table] [NAME ...]. Variants are those of VARIANTS, `chosen`,
the weight on one key per query, and `by distance`.
"""

from __future__ import annotations

import sys

import torch
import triton

from attentropy.kernels.common import tiles
from attentropy.kernels.second_sweep.triton_distance_kernel import distance_sums
from attentropy.kernels.second_sweep.triton_kernel import single_weights, tile_sums
from attentropy.kernels.second_sweep.triton_launch import Plan
from compiled import ahead, all_names, main

TABLES = {"starts": "*i32", "lengths": "*i32", "slopes": "*fp32"}
SEGMENTS = {"of_queries": "*i32", "of_keys": "*i32"}
OPTIONAL = (*TABLES, *SEGMENTS, "firsts")
LENGTH = 16_384
# What differs from what keys receive, causal, in bfloat16; `tile` is (queries, keys).
VARIANTS: dict[str, dict[str, object]] = {
    "received": {},
    "full": {"CAUSAL": False},
    "map": {"tile": (64, 64)},
    "entropy map": {"tile": (64, 64), "ENTROPY": True},
    "coarse map": {"tile": (512, 512)},
    "fine map": {"tile": (16, 16)},
    "odd map": {"tile": (7, 50)},
    "rectangle": {"tile": (1, 1)},
    "recent": {"tile": (1, LENGTH), "firsts": "*i32"},
    "window": {"WINDOW": True},
    "softcap": {"WINDOW": True, "SCALED": True, "SOFTCAP": True},
    "chunk": {"CHUNK": True, "starts": "*i32"},
    "padding": {"starts": "*i32", "lengths": "*i32"},
    "segments": dict(SEGMENTS),
    "slopes": {"slopes": "*fp32", "SCALED": True},
    "odd length": {"SHORT": True},
    "float32": {"PRECISION": "ieee"},
    "float32 map": {"PRECISION": "ieee", "tile": (64, 64)},
    "everything": {"tile": (64, 64), "ENTROPY": True, **TABLES, **SEGMENTS}
    | dict.fromkeys(("WINDOW", "CHUNK", "SCALED", "SOFTCAP"), True),
}


def build(architecture: str, size: str, variant: str) -> triton.compiler.CompiledKernel:
    """Compile the kernel as it is launched for dense tensors of 16,384 tokens, 32 heads."""
    head = int(size)
    if variant == "chosen":
        return _build_single_weights(architecture, head)
    if variant == "by distance":
        return _build_distance_sums(architecture, head)
    changes = dict(VARIANTS[variant])
    tile = changes.pop("tile", (LENGTH, 1))
    single = changes.get("PRECISION") == "ieee"
    block = tiles.choose_sweep(
        architecture, tiles.padded_size(head), torch.float32 if single else torch.bfloat16
    )
    shape = (triton.cdiv(LENGTH, tile[0]), triton.cdiv(LENGTH, tile[1]))
    plan = Plan.of(tile, shape, block, 1, 32, False, 528)
    constants: dict[str, object] = {
        "D": head,
        "BM": block.queries,
        "BN": block.keys,
        "BD": tiles.padded_size(head),
        "PM": plan.rows,
        "PN": plan.columns,
        "RUN": plan.run,
        "PARTIAL": tile[0] % plan.rows != 0,
        "SHORT": plan.ends_within_block(LENGTH, tile[0], block),
        "PRECISION": "tf32",
        "CAUSAL": True,
        "stride_qd": 1,
        "stride_kd": 1,
        **{name: size for name, size in zip(("tile_m", "tile_n"), tile, strict=True) if size == 1},
        **dict.fromkeys(("PER_QUERY", "ENTROPY", "WINDOW", "CHUNK", "SCALED", "SOFTCAP"), False),
        **{name: None for name in OPTIONAL if name not in changes},
        **{name: value for name, value in changes.items() if name.isupper()},
    }
    types = dict.fromkeys(tile_sums.arg_names, "i32")
    types |= dict.fromkeys(("q", "k"), "*fp32" if single else "*bf16")
    types |= dict.fromkeys(("lse", "out"), "*fp32")
    types |= dict.fromkeys(("c", "scale", "softcap", "factor"), "fp32")
    types |= {name: str(value) for name, value in changes.items() if not name.isupper()}
    return ahead(tile_sums, types, constants, architecture, block.options)


def _build_single_weights(architecture: str, head: int) -> triton.compiler.CompiledKernel:
    types = dict.fromkeys(single_weights.arg_names, "i32") | dict.fromkeys(("q", "k"), "*bf16")
    types |= {"lse": "*fp32", "out": "*fp32", "keys": "*i32", "scale": "fp32", "softcap": "fp32"}
    constants = {"D": head, "BM": 32, "BD": tiles.padded_size(head), "SOFTCAP": False}
    constants |= {"slopes": None, "stride_qd": 1, "stride_kd": 1}
    return ahead(single_weights, types, constants, architecture, {"num_warps": 4})


def _build_distance_sums(architecture: str, head: int) -> triton.compiler.CompiledKernel:
    types = dict.fromkeys(distance_sums.arg_names, "i32") | dict.fromkeys(("q", "k"), "*bf16")
    types |= {"lse": "*fp32", "out": "*fp32", **dict.fromkeys(("scale", "softcap", "c"), "fp32")}
    block = tiles.choose_distance(architecture, tiles.padded_size(head), torch.bfloat16)
    constants: dict[str, object] = {
        "D": head, "BM": block.queries, "BN": block.keys, "BD": tiles.padded_size(head),
        "BINS": 32, "CAUSAL": True, "PRECISION": "tf32", "stride_qd": 1, "stride_kd": 1,
        **dict.fromkeys(("WINDOW", "CHUNK", "SCALED", "SOFTCAP"), False),
        **dict.fromkeys((*TABLES, *SEGMENTS)),
    }  # fmt: skip
    return ahead(distance_sums, types, constants, architecture, block.options)


if __name__ == "__main__":
    main(sys.argv[1:], build, all_names((*VARIANTS, "chosen", "by distance")))
