"""The face of the kernels: what each operation computes, its checks, and who computes it.

`impl` says how: "reference" (float64, the definition, for tests), "portable" (PyTorch, any device),
"triton" (the fused kernels), or None for the best that the tensors' device allows. All numbers are
those of the project's definitions, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from attentropy.kernels import checks, portable, portable_vocabulary, reference
from attentropy.kernels.visibility import Mask

Implementation = Literal["triton", "portable", "reference"]

STATS = (
    "entropy",
    "max_prob",
    "varentropy",
    "distance",
    "sink_mass",
    "sink_prob",
    "top_key",
)


@dataclass(frozen=True)
class AttentionResult:
    """`out` [B, Hq, Nq, Dv] in the type of v; the others [B, Hq, Nq], None where not asked for.

    float32 (float64 from the reference), `top_key` int32. A query that sees no key has zero `out`,
    `lse` −inf, `top_key` −1 and NaN elsewhere.
    """

    out: Tensor
    lse: Tensor
    entropy: Tensor | None = None
    max_prob: Tensor | None = None
    varentropy: Tensor | None = None
    distance: Tensor | None = None
    sink_mass: Tensor | None = None
    sink_prob: Tensor | None = None
    top_key: Tensor | None = None


@dataclass(frozen=True)
class VocabularyResult:
    """`entropy` and `lse` [N] (nats); `top_ids` int32 and `top_logprobs` [N, k], likeliest first.

    `target_logprob` and `target_rank` (0 = first, int32) have the targets' shape, None without.
    `kl` [N] is KL(P_final ‖ P) ≥ 0 (nats), None without `final`.
    """

    entropy: Tensor
    lse: Tensor
    top_ids: Tensor
    top_logprobs: Tensor
    target_logprob: Tensor | None = None
    target_rank: Tensor | None = None
    kl: Tensor | None = None


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
    chunk: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    slopes: Tensor | None = None,
    key_starts: Tensor | None = None,
    key_lengths: Tensor | None = None,
    segments: Tensor | None = None,
    query_offset: int | None = None,
    stats: tuple[str, ...] = ("entropy",),
    impl: Implementation | None = None,
) -> AttentionResult:
    """Softmax attention and each row's statistics, in O(N) memory.

    q [B, Hq, Nq, D], k [B, Hkv, Nk, D], v [B, Hkv, Nk, Dv]; Hq a multiple of Hkv.
    scale: of the scores, 1/√D by default. softcap c: score ← c·tanh(score / c), after the scale.
    causal: query i, at position a = query_offset + i, sees the keys j ≤ a; query_offset None means
    Nk − Nq (bottom right). window w: of these, those with a − w < j; symmetric (|a − j| < w) when
    not causal. chunk c: those of the same run of c keys, counted from key_starts.
    key_starts, key_lengths [B]: the first key that is no padding, and how many follow from there.
    segments [B, Nk]: packed sequences; a query at position a belongs to segments[:, a].
    slopes [Hq]: ALiBi, score − slope·(a − j). sinks [Hq]: one more logit in the denominator of
    `out` alone; `lse` and the statistics are over the keys.
    stats: of entropy, max_prob, varentropy, distance, sink_mass, top_key, and sink_prob where there
    are sinks. `lse` is always returned.

    Raises `ValueError` or `TypeError` for arguments that do not fit, `RuntimeError` for inputs that
    require grad while grad is on (inference only), `NotImplementedError` where the named
    implementation lacks what is asked. Online softmax: Milakov & Gimelshein 2018; Dao et al. 2022.
    """
    where = f"attention(q {checks.shape(q)}, k {checks.shape(k)}, v {checks.shape(v)})"
    checks.implementation(where, impl)
    checks.tensors(where, {"q": q, "k": k, "v": v}, 4)
    if v.shape[:3] != k.shape[:3]:
        raise ValueError(f"{where}: v differs from k in batch, heads or length")
    mask, scale = checks.scores(
        where, q, k, scale, softcap, slopes, causal, window, chunk, key_starts, key_lengths,
        segments, query_offset,
    )  # fmt: skip
    stats = tuple(dict.fromkeys(stats))
    if unknown := [name for name in stats if name not in STATS]:
        raise ValueError(f"{where}: unknown statistic {unknown[0]!r}; known: {', '.join(STATS)}")
    if "sink_prob" in stats and sinks is None:
        raise ValueError(f"{where}: sink_prob was asked for, and there are no sinks")
    if sinks is not None and sinks.shape != (q.shape[1],):
        raise ValueError(
            f"{where}: sinks {checks.shape(sinks)} is not [{q.shape[1]}], one per head"
        )
    checks.inference(where, q, k, v, sinks, slopes)

    reason = _triton_lacks(q, v)
    if impl is None:
        impl = "triton" if q.is_cuda and reason is None and _has_triton() else "portable"
    if impl == "triton":
        if reason is not None:
            raise NotImplementedError(f"{where}: impl='triton' lacks {reason}; use 'portable'")
        from attentropy.kernels import attention as fused

        found = fused.attention(
            q, k, v, scale=scale, softcap=softcap, slopes=slopes, sinks=sinks, mask=mask,
            stats=stats,
        )  # fmt: skip
    elif impl == "portable":
        found = portable.attention(
            q, k, v, score=portable.Score(scale, softcap, slopes), mask=mask, sinks=sinks,
            stats=stats,
        )  # fmt: skip
    else:
        found = reference.attention(
            q, k, v, scale=scale, softcap=softcap, sinks=sinks, slopes=slopes,
            seen=reference_mask(q, mask), offset=mask.query_offset, starts=key_starts,
        )  # fmt: skip
    out = found.pop("out")
    kept = {name: found[name] for name in (*stats, "lse")}
    return AttentionResult(out=out if impl == "reference" else out.to(v.dtype), **kept)


def vocabulary(
    hidden: Tensor,
    unembedding: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    top_k: int = 5,
    targets: Tensor | None = None,
    final: Tensor | None = None,
    impl: Implementation | None = None,
) -> VocabularyResult:
    """Statistics of softmax(softcap(scale · (hidden @ unembeddingᵀ + bias))), no logits stored.

    hidden [N, d], unembedding [V, d], bias [V]; targets [N] or [N, T] ids. Ties go to the lower id,
    in the top k and in the rank. top_k 0 takes none; the triton kernel takes at most 32.
    final [N, d]: the last layer's hidden states, read by the same head, for `kl`.
    Raises as `attention` does.
    """
    where = f"vocabulary(hidden {checks.shape(hidden)}, unembedding {checks.shape(unembedding)})"
    checks.implementation(where, impl)
    checks.tensors(where, {"hidden": hidden, "unembedding": unembedding}, 2)
    size = unembedding.shape[0]
    if hidden.shape[1] != unembedding.shape[1]:
        raise ValueError(f"{where}: the last dimensions differ")
    if not 0 <= top_k <= size or size == 0:
        raise ValueError(f"{where}: top_k={top_k} is not within 0 and {size}")
    if bias is not None and bias.shape != (size,):
        raise ValueError(f"{where}: bias {checks.shape(bias)} is not [{size}]")
    if targets is not None:
        checks.target_ids(where, targets, hidden.shape[0], size)
    if final is not None:
        checks.tensors(where, {"hidden": hidden, "final": final}, 2)
        if final.shape != hidden.shape:
            raise ValueError(f"{where}: final {checks.shape(final)} is not shaped as hidden")
    checks.positive_softcap(where, softcap)
    checks.inference(where, hidden, unembedding, bias, final)
    reason = _triton_lacks_vocabulary(hidden, unembedding, final, top_k)
    if impl is None:
        impl = "triton" if hidden.is_cuda and reason is None and _has_triton() else "portable"
    run = reference.vocabulary if impl == "reference" else portable_vocabulary.vocabulary
    if impl == "triton":
        if reason is not None:
            raise NotImplementedError(f"{where}: impl='triton' lacks {reason}; use 'portable'")
        from attentropy.kernels import triton_vocabulary

        run = triton_vocabulary.vocabulary
    columns = targets[:, None] if targets is not None and targets.ndim == 1 else targets
    found = run(
        hidden, unembedding, bias=bias, scale=scale, softcap=softcap, top_k=top_k, targets=columns,
        final=final,
    )  # fmt: skip
    if targets is not None:
        found |= {n: found[n].view(targets.shape) for n in ("target_logprob", "target_rank")}
    values: dict[str, Any] = {f.name: found.get(f.name) for f in fields(VocabularyResult)}
    return VocabularyResult(**values)


def reference_mask(q: Tensor, mask: Mask) -> Tensor:
    """Every pair's visibility [B, 1, Nq, Nk], as the reference computes it."""
    return reference.visible(
        q.shape[0],
        mask.queries,
        mask.keys,
        offset=mask.query_offset,
        causal=mask.causal,
        window=mask.window,
        chunk=mask.chunk,
        key_starts=mask.key_starts,
        key_lengths=mask.key_lengths,
        segments=mask.segments,
    )


def _triton_lacks(q: Tensor, v: Tensor) -> str | None:
    """What of this call the triton kernel does not compute, in words; None if all is there."""
    if max(q.shape[-1], v.shape[-1]) > 256:
        return "head sizes over 256"
    if q.dtype == torch.float64:
        return "float64"
    return None


def _triton_lacks_vocabulary(
    hidden: Tensor, unembedding: Tensor, final: Tensor | None, top_k: int
) -> str | None:
    if top_k > 32:
        return "a top_k over 32"
    if hidden.dtype == torch.float64:
        return "float64"
    if any(t is not None and t.dtype != hidden.dtype for t in (unembedding, final)):
        return "tensors of different types"
    return None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None
