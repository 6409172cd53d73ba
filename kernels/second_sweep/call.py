"""What the operations of the second sweep share: the mask arguments, their checks, the choice."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor

from attentropy.kernels.choice import attention_limit, choose
from attentropy.kernels.common import checks
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.second_sweep import native, portable, reference
from attentropy.kernels.second_sweep.interface import SecondSweep


class MaskArguments(TypedDict, total=False):
    """The arguments of `attention` that decide the scores and which keys a query sees."""

    scale: float | None
    causal: bool
    window: int | None
    chunk: int | None
    softcap: float | None
    slopes: Tensor | None
    key_starts: Tensor | None
    key_lengths: Tensor | None
    segments: Tensor | None
    query_offset: int | None
    last_keys: Tensor | None


def prepare(
    call: checks.CallDescription,
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    impl: Implementation | None,
    arguments: MaskArguments,
) -> tuple[SecondSweep, Score, Mask]:
    """Return the implementation, the score and the mask of a call, once its arguments fit."""
    if unknown := sorted(set(arguments) - set(MaskArguments.__annotations__)):
        raise TypeError(f"{call}: unknown argument {unknown[0]!r}")
    checks.check_implementation(call, impl)
    checks.check_tensors(call, {"q": q, "k": k, "lse": lse[..., None]}, 4)
    mask, score = checks.check_scores(
        call, q, k, arguments.get("scale"), arguments.get("softcap"), arguments.get("slopes"),
        arguments.get("causal", True), arguments.get("window"), arguments.get("chunk"),
        arguments.get("key_starts"), arguments.get("key_lengths"), arguments.get("segments"),
        arguments.get("query_offset"), arguments.get("last_keys"),
    )  # fmt: skip
    if lse.shape != q.shape[:3]:
        raise ValueError(
            f"{call}: lse must have shape {list(q.shape[:3])}, not {checks.describe(lse)}"
        )
    checks.check_inference(call, q, k, lse, score.slopes)
    limit = attention_limit(mask.last_keys, q, k)
    implementation = choose(call, impl, q, limit, work=1.0 * q.numel() * mask.widest)
    return _implementation(implementation), score, mask


def _implementation(name: Implementation) -> SecondSweep:
    """Return the module that computes the second sweep; Triton is imported only where it runs."""
    if name == "triton":
        from attentropy.kernels.second_sweep import triton_launch

        return triton_launch
    if name == "native":
        return native
    return reference if name == "reference" else portable
