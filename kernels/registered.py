"""The operations as PyTorch's dispatcher registers them, so that `torch.compile` traces a call.

`ops` is their only caller and has checked the arguments. Whatever needs a tensor's values or an
import happens in here, where no compiler traces.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from attentropy.kernels.attention import portable
from attentropy.kernels.choice import attention_limit, choose, vocabulary_limit
from attentropy.kernels.common import reference
from attentropy.kernels.common.autocast import full_precision
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import attention_names, is_integer
from attentropy.kernels.native.call import attend
from attentropy.kernels.native.library import loaded
from attentropy.kernels.vocabulary import portable as portable_vocabulary
from attentropy.kernels.vocabulary.results import vocabulary_names

# Not torch.library.custom_op: its first call imports the compiler, a second and 150 MB.
_LIBRARY = torch.library.Library("attentropy", "DEF")

_LIBRARY.define(
    "attention(Tensor q, Tensor k, Tensor v, Tensor? sinks, Tensor? slopes, Tensor? key_starts, "
    "Tensor? key_lengths, Tensor? segments, float scale, float? softcap, bool causal, "
    "SymInt? window, SymInt? chunk, SymInt query_offset, str stats, str? impl, "
    "Tensor? last_keys=None) -> Tensor[]"
)


@torch.library.impl(_LIBRARY, "attention", "CompositeExplicitAutograd")
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor | None,
    slopes: Tensor | None,
    key_starts: Tensor | None,
    key_lengths: Tensor | None,
    segments: Tensor | None,
    scale: float,
    softcap: float | None,
    causal: bool,
    window: int | None,
    chunk: int | None,
    query_offset: int,
    stats: str,
    impl: str | None,
    last_keys: Tensor | None = None,
) -> list[Tensor]:
    """Return `attention_names(stats)` by `impl`, or by the best for the tensors' device."""
    mask = Mask(
        q.shape[2], k.shape[2], query_offset, causal, window, chunk, key_starts, key_lengths,
        segments, last_keys,
    )  # fmt: skip
    score = Score(scale, softcap, slopes)
    names = attention_names(stats)
    requested = tuple(names[2:])
    work = 2.0 * q.numel() * mask.widest
    implementation = choose("attention", impl, q, attention_limit(last_keys, q, k, v), work)
    if q[..., 0].numel() == 0:  # no row
        return _empty_attention(q, v, stats, impl)
    if implementation == "reference":
        results = reference.attention(q, k, v, score=score, mask=mask, sinks=sinks)
        return [results[name] for name in names]
    if implementation == "triton":
        from attentropy.kernels.attention import triton_launch

        results = triton_launch.attention(
            q, k, v, score=score, mask=mask, sinks=sinks, stats=requested
        )
    elif implementation == "native":
        results = attend(loaded(), q, k, v, score=score, mask=mask, sinks=sinks, stats=requested)
    else:
        with full_precision(q.device):
            results = portable.attention(
                q, k, v, score=score, mask=mask, sinks=sinks, stats=requested
            )
    results["out"] = results["out"].to(v.dtype)
    return [results[name] for name in names]


@torch.library.register_fake("attentropy::attention")
def _(q, k, v, *rest):  # type: ignore[no-untyped-def]
    return _empty_attention(q, v, *rest[11:13])


def _empty_attention(q: Tensor, v: Tensor, stats: str, impl: str | None) -> list[Tensor]:
    """Return results of the right shapes and types, not yet computed."""
    exact = torch.float64 if impl == "reference" or q.dtype == torch.float64 else torch.float32
    rows = q.shape[:3]
    results = [q.new_empty(*rows, v.shape[-1], dtype=exact if impl == "reference" else v.dtype)]
    for name in attention_names(stats)[1:]:
        results.append(q.new_empty(rows, dtype=torch.int32 if is_integer(name) else exact))
    return results


def _targets_within(targets: Tensor, size: int) -> Tensor:
    """Return ids that exist: one out of range becomes 0.

    Raises `ValueError` for such an id where the targets are in the processor's memory. A look at
    those of another device would wait for it, and end the capture of a CUDA graph.
    """
    if _is_here(targets) and targets.numel():
        lowest, highest = (int(end) for end in targets.aminmax())
        if not 0 <= lowest <= highest < size:
            raise ValueError(f"vocabulary: a target is out of range (vocabulary size {size})")
    return targets.where((targets >= 0) & (targets < size), 0)


def _is_here(tensor: Tensor) -> bool:
    """Return whether a look at the values waits for no device."""
    return tensor.device.type == "cpu"


_LIBRARY.define(
    "vocabulary(Tensor hidden, Tensor unembedding, Tensor? bias, Tensor? targets, Tensor? final, "
    "float scale, float? softcap, SymInt top_k, str? impl) -> Tensor[]"
)


@torch.library.impl(_LIBRARY, "vocabulary", "CompositeExplicitAutograd")
def vocabulary(
    hidden: Tensor,
    unembedding: Tensor,
    bias: Tensor | None,
    targets: Tensor | None,
    final: Tensor | None,
    scale: float,
    softcap: float | None,
    top_k: int,
    impl: str | None,
) -> list[Tensor]:
    """Return `vocabulary_names` by `impl`, or by the best for the tensors' device."""
    size = len(unembedding)
    ids = None if targets is None else _targets_within(targets, size)
    limit = vocabulary_limit(hidden, unembedding, final, top_k)
    implementation = choose("vocabulary", impl, hidden, limit)
    module = reference if implementation == "reference" else portable_vocabulary
    run: Callable[..., dict[str, Tensor]] = module.vocabulary
    if implementation == "triton":
        from attentropy.kernels.vocabulary import triton_launch

        run = triton_launch.vocabulary
    with full_precision(hidden.device):
        results = run(
            hidden, unembedding, bias=bias, scale=scale, softcap=softcap, top_k=top_k, targets=ids,
            final=final,
        )  # fmt: skip
    if targets is not None and ids is not None:
        is_none = torch.ne(targets, ids).to(hidden.device)
        results["target_logprob"] = results["target_logprob"].masked_fill(is_none, math.nan)
        results["target_rank"] = results["target_rank"].masked_fill(is_none, -1)
    return [results[name] for name in vocabulary_names(targets is not None, final is not None)]


@torch.library.register_fake("attentropy::vocabulary")
def _(hidden, unembedding, bias, targets, final, scale, softcap, top_k, impl):  # type: ignore[no-untyped-def]
    exact = torch.float64 if impl == "reference" or hidden.dtype == torch.float64 else torch.float32
    rows = hidden.shape[0]
    shapes = {"top_ids": (rows, top_k), "top_logprobs": (rows, top_k)}
    if targets is not None:
        shapes |= dict.fromkeys(("target_logprob", "target_rank"), targets.shape)
    return [
        hidden.new_empty(
            shapes.get(name, (rows,)),
            dtype=torch.int32 if name in ("top_ids", "target_rank") else exact,
        )
        for name in vocabulary_names(targets is not None, final is not None)
    ]
