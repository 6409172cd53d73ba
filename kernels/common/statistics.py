"""The attention statistics: one table, which is the result of `attention` itself.

Each statistic is a field of `AttentionResult` that carries its `KernelStatistic`: what the kernels
have to know about it. Everything else (the names that `attention` accepts, the buffers of a launch,
the order of a result) comes from there. The module imports no torch, so that code without it can
read the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "statistic"  # of a field's metadata


@dataclass(frozen=True)
class KernelStatistic:
    """What the implementations of `attention` have to know about one statistic.

    is_integer: int32, and −1 where a query sees no key; otherwise floating point and NaN there.
    needs_sinks: it is defined only with `sinks`, and follows from them and lse alone.
    on_hopper: `hopper_kernel` stores it; `hopper_lazy` stores all.
    on_cpu: `cpu` gets it from PyTorch's fused attention.
    needs_registers: the Triton kernel keeps more alive per score for it, and takes narrower blocks.
    is_mean: it is a mean over the keys, so the parts of a split average to the whole.
    needs_of_parts: other statistics of the parts that an exact merge needs.
    """

    is_integer: bool = False
    needs_sinks: bool = False
    on_hopper: bool = False
    on_cpu: bool = False
    needs_registers: bool = False
    is_mean: bool = False
    needs_of_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttentionResult:
    """Output and statistics of `attention`; a statistic that was not requested is None.

    For H query heads and N queries, `out` is [B, H, N, Dv] in the dtype of v; all others are
    [B, H, N]: float32 (float64 from the reference and for float64 inputs), `top_key` int32. A query
    that sees no key has `out` 0, `lse` −inf, `top_key` −1, `sink_prob` 1, and NaN otherwise.

    out: the attention's output.
    lse: ln Σ_j exp s_ij over the visible keys, nats.
    entropy: −Σ_j p_ij ln p_ij, nats.
    max_prob: the largest weight of the row.
    max_logit: the largest score s_ij of the row, nats: after scale, softcap and slopes, no sink.
    varentropy: the variance of ln p_ij under p, nats².
    distance: Σ_j p_ij (i − j), the mean attended distance, tokens.
    sink_mass: the total weight of the first four keys that are not padding.
    sink_prob: the share of the softmax that the learned sink takes.
    top_key: the key with the largest weight; among equal weights the first.
    """

    out: Tensor
    lse: Tensor
    entropy: Tensor | None = field(
        default=None, metadata={_KEY: KernelStatistic(on_hopper=True, on_cpu=True)}
    )
    max_prob: Tensor | None = field(default=None, metadata={_KEY: KernelStatistic(on_hopper=True)})
    max_logit: Tensor | None = field(default=None, metadata={_KEY: KernelStatistic()})
    varentropy: Tensor | None = field(
        default=None,
        metadata={_KEY: KernelStatistic(needs_registers=True, needs_of_parts=("entropy",))},
    )
    distance: Tensor | None = field(
        default=None, metadata={_KEY: KernelStatistic(needs_registers=True, is_mean=True)}
    )
    sink_mass: Tensor | None = field(default=None, metadata={_KEY: KernelStatistic(is_mean=True)})
    sink_prob: Tensor | None = field(
        default=None, metadata={_KEY: KernelStatistic(needs_sinks=True)}
    )
    top_key: Tensor | None = field(
        default=None,
        metadata={
            _KEY: KernelStatistic(
                is_integer=True, needs_registers=True, needs_of_parts=("max_prob",)
            )
        },
    )


STATISTICS: Mapping[str, KernelStatistic] = MappingProxyType(
    {
        column.name: column.metadata[_KEY]
        for column in fields(AttentionResult)
        if _KEY in column.metadata
    }
)


def attention_names(stats: str) -> list[str]:
    """Return the names of the results of `attention` in order; `stats` is joined by commas."""
    return ["out", "lse", *(name for name in stats.split(",") if name)]


def is_integer(name: str) -> bool:
    """Return whether a result of `attention` is int32."""
    return name in STATISTICS and STATISTICS[name].is_integer
