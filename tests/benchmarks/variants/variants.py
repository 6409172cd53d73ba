"""The variants of the Hopper kernel: their modules, their blocks, and how each is launched."""

from __future__ import annotations

import math
from importlib import import_module
from types import ModuleType

import torch
import triton
from torch import Tensor
from triton.experimental.gluon.language import NVMMASharedLayout
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from attentropy.kernels.attention import hopper_lazy_launch
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.tiles import HopperTile

# By name: "base" is the kernel that the project uses, "lazy" the one that it only takes on demand.
MODULES = {
    "base": "attentropy.kernels.attention.hopper_kernel",
    "lazy": "attentropy.kernels.attention.hopper_lazy",
    "tree_maximum": "tree_maximum",
    "late_wait": "late_wait",
}
ENTROPY = ("entropy",)
DEFAULT = ("entropy", "max_prob", "distance", "sink_mass", "top_key")
EVERY = (*DEFAULT, "varentropy", "max_logit")

# The block for each head size, as `tiles.HopperTile` has it.
TILES = {
    64: {"GROUPS": 3, "BN": 128, "STAGES": 3, "REGISTERS": 160},
    128: {"GROUPS": 2, "BN": 128, "STAGES": 2, "REGISTERS": 240},
    256: {"GROUPS": 2, "BN": 64, "STAGES": 2, "REGISTERS": 240},
}
NARROW = {"BN": 64, "STAGES": 4}
TWO_GROUPS = {"GROUPS": 2, "REGISTERS": 240}
# A dry run has others: where it runs, by what sizes are divided, and the share of the time that a
# measurement needs to be worth it.
DEVICE, SHRINK, SHARE = "cuda", 1, 1.0
LAYOUT = NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)

# Every forward kernel that is measured: variant, head size, statistics, causal, changes of the block.
Job = tuple[str, int, tuple[str, ...], bool, dict[str, int]]
JOBS: list[Job] = [
    *(
        (name, head, stats, True, {})
        for head in (64, 128)
        for name in ("base", "tree_maximum", "late_wait", "lazy")
        for stats in ((), ENTROPY)
    ),
    *(("lazy", head, stats, True, {}) for head in (64, 128) for stats in (DEFAULT, EVERY)),
    *(("base", head, stats, False, {}) for head in (64, 128) for stats in ((), ENTROPY)),
    *(("lazy", head, stats, False, {}) for head in (64, 128) for stats in (ENTROPY, DEFAULT)),
    *(("lazy", head, ENTROPY, True, NARROW) for head in (64, 128)),
    *(("lazy", 64, stats, True, NARROW) for stats in (DEFAULT, EVERY)),
    ("lazy", 64, ENTROPY, True, TWO_GROUPS),
    ("base", 256, ENTROPY, True, {}),
    *(("lazy", 256, stats, True, {}) for stats in (ENTROPY, DEFAULT)),
]


def module(name: str) -> ModuleType:
    """Return the module of a variant; its kernel is `forward`."""
    return import_module(MODULES[name])


def descriptor(x: Tensor, rows: int) -> TensorDescriptor:
    """Return the descriptor by which bulk copies read `rows` entries of a head at a time."""
    return TensorDescriptor(x, list(x.shape), list(x.stride()), [1, 1, rows, x.shape[-1]], LAYOUT)


def launch(
    name: str, q: Tensor, k: Tensor, v: Tensor, stats: tuple[str, ...], causal: bool = True,
    **changes: int,
) -> dict[str, Tensor]:  # fmt: skip
    """Return `out`, `lse` and `stats` of a forward variant for q, k, v [B, H, N, D] in bfloat16."""
    batch, heads, queries, dim = q.shape
    keys, factor = k.shape[2], dim**-0.5 * math.log2(math.e)
    tile = TILES[dim] | changes
    buffers = {"out": torch.empty(batch, heads, queries, dim, dtype=v.dtype, device=q.device)}
    for stat in ("lse", *stats):
        dtype = torch.int32 if stat == "top_key" else torch.float32
        buffers[stat] = torch.empty(batch, heads, queries, dtype=dtype, device=q.device)
    if name == "lazy":
        mask = Mask(queries, keys, keys - queries if causal else 0, causal)
        block = HopperTile(*(tile[part] for part in ("GROUPS", "BN", "STAGES", "REGISTERS")))
        hopper_lazy_launch.forward(q, k, v, buffers, mask, None, factor, block)
        return buffers
    kernel = module(name).forward
    values = {
        "q": descriptor(q, 64), "k": descriptor(k, tile["BN"]), "v": descriptor(v, tile["BN"]),
        "heads": heads, "queries": queries, "keys": keys,
        "offset": keys - queries if causal else 0, "group": heads // k.shape[1],
        "c": factor,
    }  # fmt: skip
    arguments = [
        values.get(argument, buffers.get(argument))
        for argument in kernel.arg_names
        if argument not in (*tile, "D", "CAUSAL")
    ]
    kernel[(triton.cdiv(queries, 64 * tile["GROUPS"]), heads, batch)](
        *arguments, **tile, D=dim, CAUSAL=causal, num_warps=4
    )
    return buffers


def inputs(
    batch: int, heads: int, kv_heads: int, queries: int, keys: int, dim: int, kind: str = "normal"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k, v in bfloat16 on the GPU, with scores of a kind that is hard to sum."""
    random = torch.Generator(DEVICE).manual_seed(1)

    def normal(heads: int, length: int) -> Tensor:
        length = max(8, length // SHRINK)
        return torch.randn(batch, heads, length, dim, generator=random, device=DEVICE)

    q, k, v = normal(heads, queries), normal(kv_heads, keys), normal(kv_heads, keys)
    root = dim**0.5
    if kind == "peaky":
        q *= 12
    elif kind == "offset":  # 300 in every score
        q[..., 0], k[..., 0] = 4, 300 * root / 4
    elif kind == "sink":  # the first key leads by 20
        k[:, :, 0] = 0
        q[..., 1], k[:, :, 0, 1] = 3, 20 * root / 3
    elif kind == "ramp":  # maxima rise from tile to tile, in the order of the tiles
        ramp = torch.arange(k.shape[2], 0, -1, device=DEVICE) / 128
        q[..., 1], k[..., 1] = 4, ramp * 5 * root / 16
    elif kind == "nan":
        k[:, :, k.shape[2] // 2] = float("nan")
    return q.bfloat16(), k.bfloat16(), v.bfloat16()
