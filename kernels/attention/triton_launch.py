"""Attention by the fused Triton kernel: its launch, and the split over keys of short queries."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from attentropy.kernels.attention.merge import merge
from attentropy.kernels.attention.triton_kernel import forward
from attentropy.kernels.common import gpu as launch
from attentropy.kernels.common import tiles
from attentropy.kernels.common.gpu import dense
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.registered import INTEGERS


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    softcap: float | None,
    slopes: Tensor | None,
    sinks: Tensor | None,
    mask: Mask,
    stats: tuple[str, ...],
    splits: int | None = None,
) -> dict[str, Tensor]:
    """Output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq] float32, on the device of q.

    splits: how many runs the keys are cut into and merged from exactly; None lets the shape decide.
    Raises `ValueError` for tensors that no GPU holds, unless Triton interprets.
    """
    launch.check_device(q, forward)
    batch, heads, queries, dim = q.shape
    width, keys, kv_heads = v.shape[-1], k.shape[2], k.shape[1]
    head = max(tiles.padded(dim), tiles.padded(width))
    architecture = tiles.of_device(q.device)
    tile = tiles.choose(
        architecture, head, q.dtype, bulk=launch.takes_descriptors(k, v),
        wide=bool({"varentropy", "distance", "top_key"} & set(stats)),
    )  # fmt: skip
    # Few queries: the heads that share keys fill a block together, and the keys are read once.
    packed = heads > kv_heads and queries * (heads // kv_heads) <= tile.queries
    blocks = 1 if packed else triton.cdiv(queries, tile.queries)
    columns = kv_heads if packed else heads
    if splits is None:
        splits = _splits(q.device, blocks * columns * batch, keys, tile)
    wanted = ("lse", *stats)
    if splits > 1:  # what a merge needs of the parts
        needs = {"entropy": (), "varentropy": ("entropy",), "top_key": ("max_prob",)}
        wanted += tuple(need for name in stats for need in needs.get(name, ()))
        wanted = tuple(name for name in wanted if name != "sink_prob")
    parts = (splits, batch, heads, queries)
    kind = torch.float32 if splits > 1 else v.dtype
    found = {"out": torch.empty(*parts, width, dtype=kind, device=q.device)}
    for name in dict.fromkeys(wanted):
        dtype = torch.int32 if name in INTEGERS else torch.float32
        found[name] = torch.empty(parts, dtype=dtype, device=q.device)
    scaled, factor = launch.folded(scale, softcap, slopes)
    alone = splits == 1 and not packed and not scaled and sinks is None
    if found["lse"].numel() and not (alone and _specialized(q, k, v, found, mask, stats, factor)):
        _launch(
            q, k, v, found, scale, softcap, slopes, None if splits > 1 else sinks, mask, scaled,
            factor, tile, packed, (blocks, columns, splits * batch),
        )  # fmt: skip
    if splits == 1:
        return {name: part[0] for name, part in found.items()}
    return merge(found, sinks, tuple(stats))


def _specialized(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    found: dict[str, Tensor],
    mask: Mask,
    stats: tuple[str, ...],
    factor: float,
) -> bool:
    """Whether the kernel for Hopper took the call; it is imported only where it could."""
    tile = tiles.choose_specialized(tiles.of_device(q.device), q.shape[-1], q.dtype)
    if tile is None:
        return False
    from attentropy.kernels.attention import hopper_launch as specialized

    if not specialized.serves(q, k, v, mask, stats):
        return False
    whole = {name: part[0] for name, part in found.items()}
    specialized.forward(q, k, v, whole, mask, factor, tile)
    return True


def _splits(device: torch.device, programs: int, keys: int, tile: tiles.Tile) -> int:
    """Runs of keys that fill the device where the queries alone do not; one where they do."""
    if device.type != "cuda" or programs == 0:
        return 1
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(processors // programs, keys // (8 * tile.keys)))


def _described(x: Tensor, tile: tiles.Tile) -> Tensor | TensorDescriptor:
    """Keys or values as the kernel takes them: by bulk copies where the tile says so."""
    if not tile.descriptors:
        return x
    block = [1, 1, tile.keys, tiles.padded(x.shape[-1])]
    return TensorDescriptor(x, list(x.shape), list(x.stride()), block)


def _launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    found: dict[str, Tensor],
    scale: float,
    softcap: float | None,
    slopes: Tensor | None,
    sinks: Tensor | None,
    mask: Mask,
    scaled: bool,
    factor: float,
    tile: tiles.Tile,
    packed: bool,
    grid: tuple[int, int, int],
) -> None:
    batch, heads, queries, dim = q.shape
    keys, width = k.shape[2], v.shape[-1]
    splits = grid[2] // batch
    span = triton.cdiv(triton.cdiv(keys, splits), tile.keys) * tile.keys
    far = queries + keys + abs(mask.query_offset)  # a window or chunk this wide hides nothing more
    with torch.cuda.device_of(q):
        forward[grid](
            q, *(_described(x, tile) for x in (k, v)), found["out"], found["lse"],
            *(found.get(name) for name in (
                "entropy", "max_prob", "varentropy", "distance", "sink_mass", "top_key",
                "sink_prob",
            )),
            *(dense(x, q, torch.int32) for x in (
                mask.key_starts, mask.key_lengths, mask.segments,
            )),
            *(dense(x, q, torch.float32) for x in (slopes, sinks)),
            *q.stride(), *k.stride(), *v.stride(), batch, heads, queries, keys, mask.query_offset,
            heads // k.shape[1], min(mask.window or 0, far), mask.chunk or 1, span, scale,
            softcap or 0.0, factor,
            D=dim, DV=width, BM=tile.queries, BN=tile.keys, BD=tiles.padded(dim),
            BE=tiles.padded(width), CAUSAL=mask.causal, WINDOW=mask.window is not None,
            CHUNK=mask.chunk is not None, SPLIT=splits > 1, PACKED=packed,
            SCALED=scaled, SOFTCAP=softcap is not None, DESCRIPTORS=tile.descriptors,
            PRECISION=launch.precision(q), LANES=tile.lanes,
            **tile.options,
        )  # fmt: skip
