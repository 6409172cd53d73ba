"""Who is measured: each way to attention, with or without each row's entropy, as one function.

A rival takes q, k, v and the case, and returns a function that runs once and gives the entropies
[1, Hq, N] or None. What cannot run here raises, and the reason is printed in its row.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from attentropy.engine.bench.case import Case
from attentropy.kernels.ops import STATS, attention

Run = Callable[[], Tensor | None]
Rival = Callable[[Tensor, Tensor, Tensor, Case], Run]


def _ours(*stats: str) -> Rival:
    def rival(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
        return lambda: attention(q, k, v, causal=case.causal, stats=stats).entropy

    return rival


def _sdpa(*backends: SDPBackend) -> Rival:
    def rival(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
        def run() -> None:
            with sdpa_kernel(list(backends)):
                scaled_dot_product_attention(q, k, v, is_causal=case.causal, enable_gqa=True)

        return run

    return rival


def _with_lse(q: Tensor, k: Tensor, v: Tensor, case: Case) -> tuple[Tensor, Tensor]:
    """(out, lse) of the fused kernel that PyTorch has here; k and v have all the heads of q."""
    aten: Any = torch.ops.aten
    if q.is_cuda:
        found = aten._scaled_dot_product_flash_attention(q, k, v, 0.0, case.causal, False)
    else:
        found = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, case.causal)
    return found[0], found[1]


def _twice(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
    """H = lse − scale · q · Σ p k: the second call has the keys for values."""
    group, scale = case.heads // case.key_heads, case.head_size**-0.5
    k, v = (t.repeat_interleave(group, 1) for t in (k, v))

    def run() -> Tensor:
        _, lse = _with_lse(q, k, v, case)
        mean_key, _ = _with_lse(q, k, k, case)
        return lse - scale * (q.float() * mean_key.float()).sum(-1)

    return run


def _flex(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
    """FlexAttention with lse, called a second time with the keys for values."""
    from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

    if not q.is_cuda:
        raise NotImplementedError("FlexAttention is compared on a GPU only")
    compiled: Any = torch.compile(flex_attention)
    n, scale = case.length, case.head_size**-0.5
    mask = (
        create_block_mask(lambda b, h, i, j: i >= j, None, None, n, n, device=str(q.device))
        if case.causal
        else None
    )

    def run() -> Tensor:
        call = {"block_mask": mask, "enable_gqa": True, "return_aux": AuxRequest(lse=True)}
        _, aux = compiled(q, k, v, **call)
        mean_key, _ = compiled(q, k, k, **call)
        return aux.lse - scale * (q.float() * mean_key.float()).sum(-1)

    return run


def _eager(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
    """As `output_attentions` does: all weights in memory, then −Σ p ln p."""
    group, scale = case.heads // case.key_heads, case.head_size**-0.5
    k, v = (t.repeat_interleave(group, 1) for t in (k, v))

    def run() -> Tensor:
        s = q @ k.transpose(-1, -2) * scale
        if case.causal:
            hidden = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).triu(1)
            s = s.masked_fill(hidden, -torch.inf)
        p = s.softmax(-1, dtype=torch.float32)
        p.to(q.dtype) @ v
        return torch.special.entr(p).sum(-1)

    return run


def _flash_attn(q: Tensor, k: Tensor, v: Tensor, case: Case) -> Run:
    flash_attn_func = import_module("flash_attn").flash_attn_func

    q, k, v = (t.transpose(1, 2).contiguous() for t in (q, k, v))

    def run() -> None:
        flash_attn_func(q, k, v, causal=case.causal)

    return run


_EVERY = tuple(name for name in STATS if name != "sink_prob")
OURS = "ours, entropy"
RIVALS: dict[str, Rival] = {
    OURS: _ours("entropy"),
    "ours, all off": _ours(),
    "ours, every statistic": _ours(*_EVERY),
    "sdpa, cudnn": _sdpa(SDPBackend.CUDNN_ATTENTION),
    "sdpa, flash": _sdpa(SDPBackend.FLASH_ATTENTION),
    "flash-attn": _flash_attn,
    "fused twice, V := K": _twice,
    "flex twice, V := K": _flex,
    "eager, materialised": _eager,
}
