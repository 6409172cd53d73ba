"""PyTorch's own fused attention in place of ours: what recording is compared with.

It needs no mask: all of the past, then the chunk's own causal square, merged through lse; or one
call where a kernel aligns causal order at the end, as flash does on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.errors import AttentropyError
from attentropy.engine.measure.fused_kernels import FUSED_KERNELS, FusedKernel
from attentropy.engine.measure.sampling import time_runs
from attentropy.kernels.ops import AttentionResult, attention

_BUDGET = 0.3  # seconds of timing each kernel, to choose one
_PAST, _NEW = 300, 200  # keys and queries of the check

Attend = Callable[..., AttentionResult]

_log = logging.getLogger(__name__)


class NotFused(AttentropyError):
    """An attention that PyTorch's fused kernels cannot compute; the message is the reason."""


def fused_attention(name: str, tokens: int) -> Attend:
    """Return `attentropy.attention` computed by another kernel: "flash" or "cudnn".

    tokens: of the whole prompt. The function raises `NotFused` where a query may not see every key
    before it.
    """
    stock = FUSED_KERNELS[name]

    def attend(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> AttentionResult:
        check(q, v, tokens, **options)
        scale = options.get("scale")
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        past = k.shape[2] - q.shape[2]
        if past == 0 or (name == "flash" and q.is_cuda):  # there causal order ends with the keys
            return AttentionResult(*stock.attend(q, k, v, True, scale))
        return AttentionResult(*_merged(stock, q, k, v, past, scale))

    return attend


def _merged(
    stock: FusedKernel, q: Tensor, k: Tensor, v: Tensor, past: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Return out and lse: all queries over the past's keys, merged with the new causal square."""
    old, old_lse = stock.attend(q, k[:, :, :past], v[:, :, :past], False, scale)
    new, new_lse = stock.attend(q, k[:, :, past:], v[:, :, past:], True, scale)
    share = torch.sigmoid(old_lse - new_lse)[..., None].to(new.dtype)
    return torch.lerp(new, old, share), torch.logaddexp(old_lse, new_lse)


def check(q: Tensor, v: Tensor, tokens: int, **options: Any) -> None:
    """Raise `NotFused` for `options` of attention that the fused kernels do not have."""
    window, chunk = options.get("window"), options.get("chunk")
    is_padded = options.get("key_starts") is not None or options.get("key_lengths") is not None
    reasons = {
        "a sliding window": window is not None and window < tokens,
        "chunked attention": chunk is not None and chunk < tokens,
        "a softcap": options.get("softcap") is not None,
        "learned sinks": options.get("sinks") is not None,
        "padding": is_padded,
        "non-causal attention": not options.get("causal", True),
        "values and keys of different sizes": q.shape[-1] != v.shape[-1],
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotFused(f"this model has {reason}, which PyTorch's fused kernels do not support")


def fastest(
    heads: int, key_heads: int, size: int, chunk: int, tokens: int,
    device: torch.device, dtype: torch.dtype,
) -> str:  # fmt: skip
    """Return the name of the faster kernel for the prompt's last chunk, of those right here.

    Raises `NotFused` where none runs and is right.
    """
    generator = torch.Generator(device).manual_seed(0)

    def draw(queries: int, keys: int) -> tuple[Tensor, Tensor, Tensor]:
        def one(heads: int, length: int) -> Tensor:
            shape = (1, heads, length, size)
            return torch.randn(shape, generator=generator, device=device).to(dtype)

        return one(heads, queries), one(key_heads, keys), one(key_heads, keys)

    times, reasons = {}, []
    small = draw(_NEW, _PAST + _NEW)
    expected = attention(*small, stats=()).out
    names = [name for name in ("flash", "cudnn") if device.type in FUSED_KERNELS[name].devices]
    large = draw(chunk, tokens) if len(names) > 1 else small
    for name in names:
        attend = fused_attention(name, tokens)
        try:
            error = float((attend(*small).out - expected).abs().max())
            if not error <= (1e-4 if dtype == torch.float32 else 3e-2):
                raise RuntimeError(f"off by {error:.2g}")
            times[name] = median(time_runs(partial(attend, *large), device.type, _BUDGET))
        except (RuntimeError, NotImplementedError) as failure:
            _log.info("PyTorch's %s attention does not run here", name, exc_info=failure)
            reasons.append(f"{name}: {' '.join(str(failure).split())[:100]}")
    if not times:
        raise NotFused(f"no fused kernel of PyTorch runs here ({'; '.join(reasons)})")
    return min(times, key=lambda name: times[name])
