"""The public operations: what each one computes, its checks, and which implementation runs.

`impl` names the implementation: "reference" (float64, the definition, for tests), "portable"
(PyTorch, any device), "native" (the C code for CPUs, which a C compiler has to build first),
"triton" (the GPU kernels), or None for the best that the tensors' device allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attentropy.kernels import registered  # noqa: F401  (defines torch.ops.attentropy)
from attentropy.kernels.common import checks
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.common.statistics import STATISTICS, AttentionResult, attention_names
from attentropy.kernels.vocabulary.results import VocabularyResult, vocabulary_names

__all__ = [
    "STATS",
    "AttentionResult",
    "Implementation",
    "VocabularyResult",
    "attention",
    "vocabulary",
]

STATS = tuple(STATISTICS)


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
    last_keys: Tensor | None = None,
    stats: str | Sequence[str] = "entropy",
    impl: Implementation | None = None,
) -> AttentionResult:
    """Return softmax attention and statistics per query, in O(N) memory.

    Args:
        q: Queries [B, Hq, Nq, D].
        k, v: Keys [B, Hkv, Nk, D] and values [B, Hkv, Nk, Dv]; Hq is a multiple of Hkv.
        scale: Factor applied to q · k, finite; 1/√D by default.
        causal: Whether query i, at position a = query_offset + i, sees only the keys j ≤ a.
        window: Sliding window: only keys j > a − window; if not causal, |a − j| < window.
        chunk: Chunked attention: only keys in the query's own chunk of this many keys, counted
            from key_starts.
        softcap: If given, score ← softcap · tanh(score / softcap), after the scale.
        sinks: Learned sink logits [Hq]: an extra term in the softmax denominator of `out` only.
        slopes: ALiBi slopes [Hq]: score − slope · (a − j).
        key_starts, key_lengths: First key that is not padding [B], and number of such keys [B].
        segments: Number of the packed sequence that each key belongs to [B, Nk]; a query sees only
            keys with the number segments[:, a].
        query_offset: Position of query 0; Nk − Nq by default (the queries are the last tokens).
        last_keys: Last key that the query at each position sees [B, Nk], in place of its own
            position in causal order: the tokens of an image see each other in some models.
        stats: Statistics to compute, from `STATS`: "entropy", "entropy,max_prob" or a list;
            "sink_prob" needs `sinks`.
        impl: "triton", "native", "portable" or "reference"; by default the fastest on the tensors'
            device. "native" is C code for a CPU, compiled once where its work repays the second.

    Returns:
        `out` [B, Hq, Nq, Dv], `lse` and the statistics [B, Hq, Nq], in nats where logarithmic.

    Raises:
        ValueError: An argument has an invalid shape or value.
        TypeError: An input is not a floating-point tensor, or a size not a whole number.
        RuntimeError: An input requires grad and gradients are enabled, or has a tangent, or is one
            of torch.func.vmap: there is no backward pass, forward-mode derivative or batching rule.
        NotImplementedError: The implementation chosen with `impl` does not support the arguments.
        ImportError: The implementation chosen with `impl` is not installed or cannot be compiled.

    Examples:
        >>> import torch
        >>> from attentropy import attention
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> result = attention(q, k, v, stats="entropy,max_prob")
        >>> result.out.shape, result.entropy.shape
        (torch.Size([1, 2, 8, 4]), torch.Size([1, 2, 8]))

    Sources: online softmax: Milakov & Gimelshein 2018; tiled attention: Dao et al. 2022.
    """
    call = checks.CallDescription("attention", q=q, k=k, v=v)
    _check_inputs(call, q, k, v, impl)
    mask, score = checks.check_scores(
        call, q, k, scale, softcap, slopes, causal, window, chunk, key_starts, key_lengths,
        segments, query_offset, last_keys,
    )  # fmt: skip
    names = _check_statistics(call, stats, sinks, q.shape[1])
    checks.check_inference(call, q, k, v, sinks, slopes)
    results = torch.ops.attentropy.attention(
        q, k, v, sinks, slopes, key_starts, key_lengths, segments, score.scale, softcap, causal,
        window, chunk, mask.query_offset, names, impl, last_keys,
    )  # fmt: skip
    return AttentionResult(**dict(zip(attention_names(names), results, strict=True)))


def _check_inputs(
    call: checks.CallDescription, q: Tensor, k: Tensor, v: Tensor, impl: str | None
) -> None:
    """Raise unless the implementation exists and q, k and v fit each other."""
    checks.check_implementation(call, impl)
    checks.check_tensors(call, {"q": q, "k": k, "v": v}, 4)
    if v.shape[:3] != k.shape[:3]:
        raise ValueError(f"{call}: k and v differ in batch size, heads or length")


def _check_statistics(
    call: checks.CallDescription, stats: str | Sequence[str], sinks: Tensor | None, heads: int
) -> str:
    """Return the statistics, each once, joined by commas.

    Raises `ValueError` for statistics that do not exist or need sinks, and for sinks that do not
    fit.
    """
    names = [name.strip() for name in stats.split(",")] if isinstance(stats, str) else stats
    stats = tuple(dict.fromkeys(names))
    if unknown := [name for name in stats if name not in STATISTICS]:
        raise ValueError(f"{call}: unknown statistic {unknown[0]!r}; known: {', '.join(STATS)}")
    for name in stats:
        if STATISTICS[name].needs_sinks and sinks is None:
            raise ValueError(f"{call}: the statistic {name} needs sinks")
    if sinks is not None and sinks.shape != (heads,):
        raise ValueError(
            f"{call}: sinks must have shape [{heads}] (one per head), not {checks.describe(sinks)}"
        )
    return ",".join(stats)


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
    """Return statistics of softmax(softcap(scale · (hidden @ unembeddingᵀ + bias))) per row.

    No logits are stored. Among equal logits the lower id comes first, in the top k and the ranks.

    Args:
        hidden: Hidden states [N, d].
        unembedding: The unembedding matrix [V, d].
        bias: A bias per token [V].
        scale: Factor applied to the logits.
        softcap: If given, logit ← softcap · tanh(logit / softcap), after the scale.
        top_k: Number of most likely tokens to return, 0 for none; at most 32 with "triton".
        targets: Token ids [N] or [N, T] whose log-probability and rank to return. An id out of
            range is refused, but on a GPU, where a check would wait for the device, its
            log-probability is NaN and its rank −1.
        final: Hidden states of the last layer [M, d], for `kl`. M is N, or a part of it: `hidden`
            then has M rows of one layer after the other, and each of them is compared with the
            same row of `final`, whose logits are computed once for all layers.
        impl: "triton", "portable" or "reference"; by default the fastest on the tensors' device.

    Returns:
        A `VocabularyResult`, in nats.

    Raises:
        ValueError: An argument has an invalid shape or value.
        TypeError: An input is not a floating-point tensor, or the targets are not integers.
        RuntimeError: As in `attention`.
        NotImplementedError: The implementation chosen with `impl` does not support the arguments.

    Examples:
        >>> import torch
        >>> from attentropy import vocabulary
        >>> result = vocabulary(torch.randn(3, 16), torch.randn(100, 16), top_k=5)
        >>> result.entropy.shape, result.top_ids.shape  # rows, rows × top_k
        (torch.Size([3]), torch.Size([3, 5]))

    Sources: online softmax: Milakov & Gimelshein 2018; logit lens: nostalgebraist 2020.
    """
    call = checks.CallDescription("vocabulary", hidden=hidden, unembedding=unembedding)
    checks.check_implementation(call, impl)
    _check_vocabulary(call, hidden, unembedding, bias, top_k, targets, final)
    checks.check_factors(call, scale, softcap)
    checks.check_inference(call, hidden, unembedding, bias, final)
    columns = targets[:, None] if targets is not None and targets.ndim == 1 else targets
    values = torch.ops.attentropy.vocabulary(
        hidden, unembedding, bias, columns, final, float(scale), softcap, top_k, impl
    )
    names = vocabulary_names(targets is not None, final is not None)
    results = dict(zip(names, values, strict=True))
    if targets is not None:
        results |= {n: results[n].view(targets.shape) for n in ("target_logprob", "target_rank")}
    return VocabularyResult(**results)


def _check_vocabulary(
    call: checks.CallDescription,
    hidden: Tensor,
    unembedding: Tensor,
    bias: Tensor | None,
    top_k: int,
    targets: Tensor | None,
    final: Tensor | None,
) -> None:
    """Raise unless the tensors fit each other and the vocabulary has `top_k` tokens."""
    checks.check_tensors(call, {"hidden": hidden, "unembedding": unembedding}, 2)
    size = unembedding.shape[0]
    if hidden.shape[1] != unembedding.shape[1]:
        raise ValueError(f"{call}: hidden and unembedding differ in their last dimension")
    if not 0 <= checks.check_integer(call, "top_k", top_k) <= size or size == 0:
        raise ValueError(f"{call}: top_k must be between 0 and {size}, not {top_k}")
    if bias is not None and bias.shape != (size,):
        raise ValueError(f"{call}: bias must have shape [{size}], not {checks.describe(bias)}")
    if targets is not None:
        checks.check_targets(call, targets, hidden.shape[0])
    if final is not None:
        checks.check_tensors(call, {"hidden": hidden, "final": final}, 2)
        rows = max(1, final.shape[0])
        if (
            final.shape[1] != hidden.shape[1]
            or hidden.shape[0] % rows
            or (final.shape[0] == 0 < hidden.shape[0])
        ):
            raise ValueError(
                f"{call}: final must have as many rows as hidden, or a whole part of them, and the "
                f"same width, not {checks.describe(final)}"
            )
