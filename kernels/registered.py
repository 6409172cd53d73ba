"""The operations as PyTorch's dispatcher knows them, so that `torch.compile` sees through a call.

ops.py is their only caller and has checked the arguments; what needs values or an import is done
in here, where no compiler looks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attentropy.kernels.attention import portable
from attentropy.kernels.common import reference
from attentropy.kernels.common.choice import attention_lacks, choose, vocabulary_lacks
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.vocabulary import portable as portable_vocabulary

INTEGERS = ("top_key",)

# Not torch.library.custom_op: its first call imports the compiler, a second and 150 MB.
_LIBRARY = torch.library.Library("attentropy", "DEF")


def attention_names(stats: str) -> list[str]:
    """The names of the results of `attention`, in order; `stats` joined by commas."""
    return ["out", "lse", *(name for name in stats.split(",") if name)]


_LIBRARY.define(
    "attention(Tensor q, Tensor k, Tensor v, Tensor? sinks, Tensor? slopes, Tensor? key_starts, "
    "Tensor? key_lengths, Tensor? segments, float scale, float? softcap, bool causal, "
    "SymInt? window, SymInt? chunk, SymInt query_offset, str stats, str? impl) -> Tensor[]"
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
) -> list[Tensor]:
    """`attention_names(stats)`, by `impl` or by the best that the tensors' device allows."""
    mask = Mask(
        q.shape[2], k.shape[2], query_offset, causal, window, chunk, key_starts, key_lengths,
        segments,
    )  # fmt: skip
    names = attention_names(stats)
    given: dict[str, Any] = {"mask": mask, "sinks": sinks}
    how = choose("attention", impl, q, attention_lacks(q, v))
    if how == "triton":
        from attentropy.kernels.attention import triton_launch as fused

        found = fused.attention(
            q, k, v, scale=scale, softcap=softcap, slopes=slopes, stats=tuple(names[2:]), **given
        )
    elif how == "portable":
        score = portable.Score(scale, softcap, slopes)
        found = portable.attention(q, k, v, score=score, stats=tuple(names[2:]), **given)
    else:
        found = reference.attention(q, k, v, scale=scale, softcap=softcap, slopes=slopes, **given)
    if how != "reference":
        found["out"] = found["out"].to(v.dtype)
    return [found[name] for name in names]


@torch.library.register_fake("attentropy::attention")
def _(q, k, v, *rest):  # type: ignore[no-untyped-def]
    stats, impl = rest[-2:]
    exact = torch.float64 if impl == "reference" or q.dtype == torch.float64 else torch.float32
    rows = q.shape[:3]
    made = [q.new_empty(*rows, v.shape[-1], dtype=exact if impl == "reference" else v.dtype)]
    for name in attention_names(stats)[1:]:
        made.append(q.new_empty(rows, dtype=torch.int32 if name in INTEGERS else exact))
    return made


def vocabulary_names(targets: bool, final: bool) -> list[str]:
    """The names of the results of `vocabulary`, in order."""
    names = ["entropy", "lse", "top_ids", "top_logprobs"]
    return names + ["target_logprob", "target_rank"] * targets + ["kl"] * final


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
    """`vocabulary_names`, by `impl` or by the best that the tensors' device allows."""
    size = len(unembedding)
    if targets is not None and targets.numel():
        least, most = (int(end) for end in targets.aminmax())  # waits for the device
        if not 0 <= least <= most < size:
            raise ValueError(f"vocabulary: a target is not an id within 0 and {size - 1}")
    how = choose("vocabulary", impl, hidden, vocabulary_lacks(hidden, unembedding, final, top_k))
    if how == "triton":
        from attentropy.kernels.vocabulary import triton_launch as triton_vocabulary

        run = triton_vocabulary.vocabulary
    else:
        run = (reference if how == "reference" else portable_vocabulary).vocabulary
    found = run(
        hidden, unembedding, bias=bias, scale=scale, softcap=softcap, top_k=top_k, targets=targets,
        final=final,
    )  # fmt: skip
    return [found[name] for name in vocabulary_names(targets is not None, final is not None)]


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
