"""The face of the kernels: what each operation computes, its checks, and who computes it.

`impl` says how: "reference" (float64, the definition, for tests), "portable" (PyTorch, any device),
"triton" (the fused kernels), or None for the best that the tensors' device allows. All numbers are
those of the project's definitions, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.kernels import registered
from attentropy.kernels.common import checks
from attentropy.kernels.common.choice import Implementation

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
    where = checks.Call("attention", q=q, k=k, v=v)
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

    joined = ",".join(stats)
    found = torch.ops.attentropy.attention(
        q, k, v, sinks, slopes, key_starts, key_lengths, segments, scale, softcap, causal, window,
        chunk, mask.query_offset, joined, impl,
    )  # fmt: skip
    return AttentionResult(**dict(zip(registered.attention_names(joined), found, strict=True)))


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
    where = checks.Call("vocabulary", hidden=hidden, unembedding=unembedding)
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
        checks.targets(where, targets, hidden.shape[0])
    if final is not None:
        checks.tensors(where, {"hidden": hidden, "final": final}, 2)
        if final.shape != hidden.shape:
            raise ValueError(f"{where}: final {checks.shape(final)} is not shaped as hidden")
    checks.positive_softcap(where, softcap)
    checks.inference(where, hidden, unembedding, bias, final)
    columns = targets[:, None] if targets is not None and targets.ndim == 1 else targets
    values = torch.ops.attentropy.vocabulary(
        hidden, unembedding, bias, columns, final, scale, softcap, top_k, impl
    )
    names = registered.vocabulary_names(targets is not None, final is not None)
    found = dict(zip(names, values, strict=True))
    if targets is not None:
        found |= {n: found[n].view(targets.shape) for n in ("target_logprob", "target_rank")}
    return VocabularyResult(**found)
