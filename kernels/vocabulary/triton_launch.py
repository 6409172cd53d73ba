"""Vocabulary statistics by the Triton kernels: their launch, and the runs of the vocabulary.

Where rows are few the vocabulary is cut into many runs, so that one row fills the device as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from attentropy.kernels.common import gpu as launch
from attentropy.kernels.common import tiles
from attentropy.kernels.vocabulary.portable import settle
from attentropy.kernels.vocabulary.triton_kernel import goals, join, sweep

_WORKSPACE = 48 * 2**20  # bytes that the runs' parts may fill
_START = 1  # what a run costs beside its tiles, in tiles: the pipeline's start, the first top k


def vocabulary(
    hidden: Tensor,
    unembedding: Tensor,
    *,
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
    top_k: int,
    targets: Tensor | None,
    final: Tensor | None,
    runs: int | None = None,
    descriptors: bool | None = None,
    tile: tiles.VocabularyTile | None = None,
) -> dict[str, Tensor]:
    """Entropy, lse, kl [N], top-k [N, k], target statistics [N, T], float32.

    runs: how many parts the vocabulary is cut into and merged from exactly; descriptors: whether
    the hardware copies whole blocks; None lets shape, strides and device decide, as for `tile`.
    Raises `ValueError` for tensors that no GPU holds, unless Triton interprets.
    """
    device, kind = hidden.device, hidden.dtype
    launch.check_device(hidden, sweep)
    (rows, dim), size = hidden.shape, len(unembedding)
    architecture = tiles.of_device(device)
    copies = architecture in ("sm_90", "sm_100")
    if descriptors is None:
        descriptors = copies
    reads = [read for read in (hidden, unembedding, final) if read is not None]
    descriptors = descriptors and launch.takes_descriptors(*reads)
    narrow = final is not None or (copies and not descriptors)
    tile = tile or tiles.choose_vocabulary(architecture, rows, kind, narrow=narrow)
    blocks, columns = triton.cdiv(rows, tile.rows), triton.cdiv(size, tile.columns)
    if runs is None:
        runs = 1
        if hidden.is_cuda:
            here = torch.cuda.get_device_properties(device)
            runs = runs_for(
                blocks, columns, tile, part=rows * (24 + 8 * top_k),
                block=tile.rows * dim * hidden.element_size(),
                processors=here.multi_processor_count, cache=here.L2_cache_size,
            )  # fmt: skip
    span = triton.cdiv(columns, runs) * tile.columns
    runs = triton.cdiv(size, span)
    wanted = None if targets is None else targets.to(device, torch.int32).contiguous()

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    parts: dict[str, Tensor | None] = dict.fromkeys(("m_f", "l_f", "r", "keys", "goal", "rank"))
    done = {name: empty(rows) for name in ("lse", "entropy")}
    done["top_ids"] = empty(rows, top_k, dtype=torch.int32)
    done["top_logprobs"] = empty(rows, top_k)
    parts |= {name: empty(runs, rows) for name in ("m", "l", "t")}
    if final is not None:
        parts |= {name: empty(runs, rows) for name in ("m_f", "l_f", "r")}
        done["kl"] = empty(rows)
    if top_k:
        parts["keys"] = empty(runs, rows, top_k, dtype=torch.int64)
    rank = None
    if wanted is not None:
        rank = torch.zeros_like(wanted)
        parts |= {"goal": empty(*wanted.shape), "rank": rank}
        done["target_logprob"] = empty(*wanted.shape)
    if rows:
        with torch.cuda.device_of(hidden):
            _launch(
                hidden, unembedding, None if bias is None else bias.to(device).contiguous(),
                final, wanted, parts, done, float(scale), softcap, tile, (runs, blocks), span,
                descriptors,
            )  # fmt: skip
    if wanted is not None and rank is not None:
        done["target_rank"] = settle(rank, done["top_ids"], wanted).int()
    return done


def _launch(
    hidden: Tensor,
    unembedding: Tensor,
    bias: Tensor | None,
    final: Tensor | None,
    targets: Tensor | None,
    parts: dict[str, Any],
    done: dict[str, Tensor],
    scale: float,
    softcap: float | None,
    tile: tiles.VocabularyTile,
    grid: tuple[int, int],
    span: int,
    descriptors: bool,
) -> None:
    (rows, dim), size, (runs, blocks) = hidden.shape, len(unembedding), grid
    top, count = done["top_ids"].shape[1], 0 if targets is None else targets.shape[1]
    reads: list[Any] = [hidden, unembedding, final]
    strides = [step for read in reads for step in (hidden if read is None else read).stride()]
    shape = {
        "D": dim, "BM": tile.rows, "BN": tile.columns, "BK": tile.depth, "SCALE": scale != 1.0,
        "SOFTCAP": softcap is not None,
        "PRECISION": launch.precision(hidden),
        "num_warps": tile.warps, "num_stages": tile.stages,
    }  # fmt: skip
    if targets is not None and count:
        goals[(count, blocks)](
            hidden, unembedding, bias, targets, parts["goal"], *strides[:4], rows, count, scale,
            softcap or 1.0, **shape,
        )  # fmt: skip
    if descriptors:
        for i, read in enumerate(reads):
            if read is not None:
                block = [tile.columns if i == 1 else tile.rows, tile.depth]
                reads[i] = TensorDescriptor.from_tensor(read, block)
    sweep[grid](
        reads[0], reads[1], bias, reads[2], targets, parts["goal"],
        *(parts[name] for name in ("m", "l", "t", "m_f", "l_f", "r", "keys", "rank")),
        *strides, rows, size, span, count, scale, softcap or 1.0,
        TOP=top, KEPT=triton.next_power_of_2(max(1, top)), DESCRIPTORS=descriptors, **shape,
    )  # fmt: skip
    width = triton.next_power_of_2(runs), triton.next_power_of_2(max(1, runs * top))
    together = max(1, min(32, 2048 // max(width)))
    join[(triton.cdiv(rows, together),)](
        *(parts[name] for name in ("m", "l", "t", "m_f", "l_f", "r", "keys", "goal")),
        *(done.get(name) for name in (
            "lse", "entropy", "kl", "top_ids", "top_logprobs", "target_logprob",
        )),
        rows, runs, count, BM=together, RUNS=width[0], KEYS=width[1], TOP=top, num_warps=4,
    )  # fmt: skip


@lru_cache(maxsize=256)
def runs_for(
    blocks: int, columns: int, tile: tiles.VocabularyTile, *, part: int, block: int,
    processors: int, cache: int,
) -> int:  # fmt: skip
    """Runs of the vocabulary for `blocks` row blocks of `block` bytes and `columns` tiles.

    So many that the rows read at the same time fit into half of the cache (bytes) beside the
    unembedding, that the parts of `part` bytes each fit the workspace, and, of these, the number
    that leaves the fewest tiles to the busiest multiprocessor.
    """
    at_once = processors * tile.resident
    least = 1
    if blocks * block > cache // 2:
        least = min(columns, -(-at_once * block // (cache // 2)))
    most = max(1, min(columns, _WORKSPACE // max(1, part), at_once))

    def slowest(runs: int) -> int:
        return -(-blocks * runs // at_once) * (-(-columns // runs) + _START)

    return min(range(min(least, most), most + 1), key=slowest)
