"""The result of `vocabulary`, and the names of its values in order."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VocabularyResult:
    """Statistics of `vocabulary` for N hidden states, float32 (float64 from the reference).

    entropy: −Σ_v P_v ln P_v [N], nats.
    lse: ln Σ_v exp of the logits [N], nats.
    top_ids: the k most likely tokens [N, k], int32, the most likely first.
    top_logprobs: ln P of each of them [N, k].
    target_logprob: ln P of the targets, in their shape; None without targets.
    target_rank: their ranks, int32, 0 for the most likely token; None without targets.
    kl: KL(P_final ‖ P) ≥ 0 [N], nats; None without `final`.
    """

    entropy: Tensor
    lse: Tensor
    top_ids: Tensor
    top_logprobs: Tensor
    target_logprob: Tensor | None = None
    target_rank: Tensor | None = None
    kl: Tensor | None = None


def vocabulary_names(has_targets: bool, has_final: bool) -> list[str]:
    """Return the names of the results of `vocabulary` in order."""
    names = ["entropy", "lse", "top_ids", "top_logprobs"]
    return names + ["target_logprob", "target_rank"] * has_targets + ["kl"] * has_final
