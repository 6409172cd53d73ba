"""Launch of the vocabulary's Triton kernels, and the cut of the vocabulary into runs.

Where rows are few, the vocabulary is cut into many runs, so that one row fills the device as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.vocabulary.ranking import correct_ranks
from attentropy.kernels.vocabulary.triton_kernel import join, sweep, target_logits

_WORKSPACE = 48 * 2**20  # bytes that the partial results of all runs may take
# The cost of a run besides its tiles, in tiles: the start of the pipeline, the first top k.
_START = 1


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
    """Return entropy, lse, kl [N], top-k [N, k] and target statistics [N, T], float32.

    runs: into how many parts the vocabulary is cut, whose results are merged exactly; descriptors:
    whether the hardware copies blocks; None lets shape, strides and device decide, for `tile` too.
    Raises `ValueError` for tensors that are not on a GPU, unless Triton interprets.
    """
    gpu.check_device(hidden, sweep)
    device, rows = hidden.device, len(hidden)
    if final is not None and 0 < len(final) < rows:
        final = final.repeat(rows // len(final), 1)  # for each layer's rows
    plan = _RunPlan.of(hidden, unembedding, final, top_k, runs, descriptors, tile)
    ids = None if targets is None else targets.to(device, torch.int32).contiguous()
    bias = None if bias is None else bias.to(device).contiguous()
    parts, results = _buffers(hidden, ids, final is not None, top_k, plan.runs)
    if rows:
        head = _LaunchHead(hidden, unembedding, bias, final, float(scale), softcap)
        with torch.cuda.device_of(hidden):
            if ids is not None and ids.shape[1]:
                _launch_targets(head, ids, parts, plan)
            _launch_sweep(head, ids, parts, top_k, plan)
            _launch_join(parts, results, rows, top_k, plan.runs)
    if ids is not None:
        rank = parts["rank"]
        assert rank is not None
        results["target_rank"] = correct_ranks(rank, results["top_ids"], ids, results["lse"]).int()
    return results


@dataclass(frozen=True)
class _RunPlan:
    """The block of a program and the cut of the vocabulary into runs."""

    tile: tiles.VocabularyTile
    descriptors: bool  # whether the hardware copies blocks
    blocks: int  # of rows
    runs: int
    span: int  # entries of a run, a multiple of the tile's columns

    @staticmethod
    def of(
        hidden: Tensor,
        unembedding: Tensor,
        final: Tensor | None,
        top_k: int,
        runs: int | None,
        descriptors: bool | None,
        tile: tiles.VocabularyTile | None,
    ) -> _RunPlan:
        """Return the plan for a call; what is not None is taken as it is, where it can be."""
        device, (rows, dim), size = hidden.device, hidden.shape, len(unembedding)
        architecture = tiles.architecture_of(device)
        has_copies = architecture in ("sm_90", "sm_100")
        if descriptors is None:
            descriptors = has_copies
        inputs = [x for x in (hidden, unembedding, final) if x is not None]
        descriptors = descriptors and gpu.takes_descriptors(*inputs)
        if tile is None:
            narrow = final is not None or (has_copies and not descriptors)
            tile = tiles.choose_vocabulary(architecture, rows, hidden.dtype, narrow=narrow)
        blocks, columns = triton.cdiv(rows, tile.rows), triton.cdiv(size, tile.columns)
        if runs is None:
            runs = 1
            if hidden.is_cuda:
                properties = torch.cuda.get_device_properties(device)
                runs = choose_runs(
                    blocks, columns, tile, part=rows * (24 + 8 * top_k),
                    block=tile.rows * dim * hidden.element_size(),
                    processors=properties.multi_processor_count, cache=properties.L2_cache_size,
                )  # fmt: skip
        span = triton.cdiv(columns, runs) * tile.columns
        return _RunPlan(tile, descriptors, blocks, triton.cdiv(size, span), span)


@dataclass(frozen=True)
class _LaunchHead:
    """The inputs that make logits of hidden states."""

    hidden: Tensor
    unembedding: Tensor
    bias: Tensor | None
    final: Tensor | None
    scale: float
    softcap: float | None

    def options(self, tile: tiles.VocabularyTile) -> dict[str, int | bool | str]:
        """Return the compile-time arguments that `target_logits` and `sweep` share."""
        return {
            "D": self.hidden.shape[1], "BM": tile.rows, "BN": tile.columns, "BK": tile.depth,
            "SCALE": self.scale != 1.0, "SOFTCAP": self.softcap is not None,
            "PRECISION": gpu.product_precision(self.hidden),
            "num_warps": tile.warps, "num_stages": tile.stages,
        }  # fmt: skip


_Parts = dict[str, Tensor | None]


def _buffers(
    hidden: Tensor, ids: Tensor | None, has_final: bool, top_k: int, runs: int
) -> tuple[_Parts, dict[str, Tensor]]:
    """Return the buffers of the runs' partial results and those of the results."""
    rows, device = len(hidden), hidden.device

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    parts: _Parts = dict.fromkeys(("m_f", "l_f", "r", "keys", "target_logit", "rank"))
    results = {name: empty(rows) for name in ("lse", "entropy")}
    results["top_ids"] = empty(rows, top_k, dtype=torch.int32)
    results["top_logprobs"] = empty(rows, top_k)
    parts |= {name: empty(runs, rows) for name in ("m", "l", "t")}
    if has_final:
        parts |= {name: empty(runs, rows) for name in ("m_f", "l_f", "r")}
        results["kl"] = empty(rows)
    if top_k:
        parts["keys"] = empty(runs, rows, top_k, dtype=torch.int64)
    if ids is not None:
        parts |= {"target_logit": empty(*ids.shape), "rank": torch.zeros_like(ids)}
        results["target_logprob"] = empty(*ids.shape)
    return parts, results


def _launch_targets(head: _LaunchHead, ids: Tensor, parts: _Parts, plan: _RunPlan) -> None:
    """Compute the logits of the targets."""
    rows, count = ids.shape
    target_logits[(count, plan.blocks)](
        head.hidden, head.unembedding, head.bias, ids, parts["target_logit"],
        *head.hidden.stride(), *head.unembedding.stride(), rows, count, head.scale,
        head.softcap or 1.0, **head.options(plan.tile),
    )  # fmt: skip


def _launch_sweep(
    head: _LaunchHead, ids: Tensor | None, parts: _Parts, top_k: int, plan: _RunPlan
) -> None:
    """Take all rows through each run of the vocabulary."""
    tile = plan.tile
    inputs = (head.hidden, head.unembedding, head.final)
    strides = [s for x in inputs for s in (head.hidden if x is None else x).stride()]
    hidden, unembedding, final = (
        TensorDescriptor.from_tensor(x, [size, tile.depth])
        if plan.descriptors and x is not None
        else x
        for x, size in zip(inputs, (tile.rows, tile.columns, tile.rows), strict=True)
    )
    sweep[(plan.runs, plan.blocks)](
        hidden, unembedding, head.bias, final, ids, parts["target_logit"],
        *(parts[name] for name in ("m", "l", "t", "m_f", "l_f", "r", "keys", "rank")),
        *strides, len(head.hidden), len(head.unembedding), plan.span,
        0 if ids is None else ids.shape[1], head.scale, head.softcap or 1.0,
        TOP=top_k, SLOTS=triton.next_power_of_2(max(1, top_k)), DESCRIPTORS=plan.descriptors,
        **head.options(tile),
    )  # fmt: skip


def _launch_join(
    parts: _Parts, results: dict[str, Tensor], rows: int, top_k: int, runs: int
) -> None:
    """Merge the runs of each row."""
    count = results["target_logprob"].shape[1] if "target_logprob" in results else 0
    width = triton.next_power_of_2(runs), triton.next_power_of_2(max(1, runs * top_k))
    block = max(1, min(32, 2048 // max(width)))
    join[(triton.cdiv(rows, block),)](
        *(parts[name] for name in ("m", "l", "t", "m_f", "l_f", "r", "keys", "target_logit")),
        *(results.get(name) for name in (
            "lse", "entropy", "kl", "top_ids", "top_logprobs", "target_logprob",
        )),
        rows, runs, count, BM=block, RUNS=width[0], KEYS=width[1], TOP=top_k, num_warps=4,
    )  # fmt: skip


@lru_cache(maxsize=256)
def choose_runs(
    blocks: int, columns: int, tile: tiles.VocabularyTile, *, part: int, block: int,
    processors: int, cache: int,
) -> int:  # fmt: skip
    """Return the number of runs for `blocks` row blocks of `block` bytes and `columns` tiles.

    It is large enough that the rows read at the same time fit into half of the cache (bytes)
    together with the unembedding, small enough that the partial results of `part` bytes per run fit
    the workspace, and among these the number that leaves the fewest tiles to the multiprocessor
    that has most.
    """
    at_once = processors * tile.resident
    minimum = 1
    if blocks * block > cache // 2:
        minimum = min(columns, -(-at_once * block // (cache // 2)))
    maximum = max(1, min(columns, _WORKSPACE // max(1, part), at_once))

    def slowest(runs: int) -> int:
        return -(-blocks * runs // at_once) * (-(-columns // runs) + _START)

    return min(range(min(minimum, maximum), maximum + 1), key=slowest)
