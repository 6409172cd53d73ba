"""PyTorch's own fused attention in the place of ours: what recording is measured against.

Without a mask of its own: the past whole, the chunk's own square causal, merged through lse; or one
call where a kernel aligns causal order at the end, as flash does on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.errors import AttentropyError
from attentropy.engine.measure.sampling import seconds
from attentropy.engine.measure.stock import STOCK, Stock
from attentropy.kernels.ops import AttentionResult, attention

_BUDGET = 0.3  # seconds of choosing, each
_PAST, _NEW = 300, 200  # keys and queries of the check

Attend = Callable[..., AttentionResult]


class NotFused(AttentropyError):
    """What PyTorch's fused attention does not take; the message is the reason."""


def fused(name: str, tokens: int) -> Attend:
    """`attentropy.attention` by another kernel: "flash" or "cudnn". Of `tokens` in all, no query
    may be hidden from any key before it: `NotFused` otherwise."""
    stock = STOCK[name]

    def attend(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> AttentionResult:
        check(q, v, tokens, **how)
        scale = how.get("scale")
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        past = k.shape[2] - q.shape[2]
        if past == 0 or (name == "flash" and q.is_cuda):  # there causal order ends with the keys
            return AttentionResult(*stock.attend(q, k, v, True, scale))
        return AttentionResult(*_merged(stock, q, k, v, past, scale))

    return attend


def _merged(
    stock: Stock, q: Tensor, k: Tensor, v: Tensor, past: int, scale: float
) -> tuple[Tensor, Tensor]:
    """The past's keys for all queries, and the causal square of the new ones."""
    old, old_lse = stock.attend(q, k[:, :, :past], v[:, :, :past], False, scale)
    new, new_lse = stock.attend(q, k[:, :, past:], v[:, :, past:], True, scale)
    share = torch.sigmoid(old_lse - new_lse)[..., None].to(new.dtype)
    return torch.lerp(new, old, share), torch.logaddexp(old_lse, new_lse)


def check(q: Tensor, v: Tensor, tokens: int, **how: Any) -> None:
    """Raise `NotFused` for what the fused kernels cannot be told."""
    window, chunk = how.get("window"), how.get("chunk")
    reasons = {
        "a sliding window": window is not None and window < tokens,
        "attention in chunks": chunk is not None and chunk < tokens,
        "a softcap": how.get("softcap") is not None,
        "learned sinks": how.get("sinks") is not None,
        "padding": how.get("key_starts") is not None or how.get("key_lengths") is not None,
        "attention without causal order": not how.get("causal", True),
        "values of another size than the keys": q.shape[-1] != v.shape[-1],
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotFused(f"this model has {reason}, which PyTorch's fused kernels do not take")


def fastest(
    heads: int, key_heads: int, size: int, chunk: int, tokens: int,
    device: torch.device, dtype: torch.dtype,
) -> str:  # fmt: skip
    """The name of the faster kernel for the prompt's last chunk, of those that are right here.

    Raises `NotFused` where none is.
    """
    made = torch.Generator(device).manual_seed(0)

    def draw(n: int, keys: int) -> tuple[Tensor, Tensor, Tensor]:
        def one(heads: int, length: int) -> Tensor:
            shape = (1, heads, length, size)
            return torch.randn(shape, generator=made, device=device).to(dtype)

        return one(heads, n), one(key_heads, keys), one(key_heads, keys)

    took, reasons = {}, []
    small = draw(_NEW, _PAST + _NEW)
    wanted = attention(*small, stats=()).out
    names = [name for name in ("flash", "cudnn") if device.type in STOCK[name].devices]
    large = draw(chunk, tokens) if len(names) > 1 else small
    for name in names:
        attend = fused(name, tokens)
        try:
            error = float((attend(*small).out - wanted).abs().max())
            if not error <= (1e-4 if dtype == torch.float32 else 3e-2):
                raise RuntimeError(f"off by {error:.2g}")
            took[name] = median(seconds(lambda run=attend: run(*large), device.type, _BUDGET))  # type: ignore[misc]
        except (RuntimeError, NotImplementedError) as error_:
            reasons.append(f"{name}: {' '.join(str(error_).split())[:100]}")
    if not took:
        raise NotFused(f"no fused kernel of PyTorch runs here ({'; '.join(reasons)})")
    return min(took, key=lambda name: took[name])
