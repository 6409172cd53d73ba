"""Other projects' fused attention kernels that return lse, behind one signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor, bool, float], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class FusedKernel:
    """A kernel: `attend(q, k, v, causal, scale)` returns out [B, Hq, N, Dv] and lse [B, Hq, N].

    wide: accepts Dv ≠ D. by_token: needs [B, N, H, D] in memory. All accept grouped queries (GQA).
    """

    attend: Attend
    devices: tuple[str, ...] = ("cuda",)
    module: str | None = None
    wide: bool = False
    by_token: bool = False

    def laid(self, tensor: Tensor) -> Tensor:
        """Return the same [B, H, N, D] in the memory order that the kernel needs."""
        if not self.by_token:
            return tensor.contiguous()
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)


def _flash(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    aten: Any = torch.ops.aten
    if q.is_cuda:
        outputs = aten._scaled_dot_product_flash_attention(q, k, v, 0.0, causal, False, scale=scale)
    else:
        outputs = aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, causal, scale=scale
        )
    return outputs[0], outputs[1]


def _cudnn(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    aten: Any = torch.ops.aten
    outputs = aten._scaled_dot_product_cudnn_attention(
        q, k, v, None, True, 0.0, causal, False, scale=scale
    )
    return outputs[0], outputs[1].reshape(q.shape[:3])


def _flash_attn(name: str) -> Attend:
    def attend(
        q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        function = import_module(name).flash_attn_func
        tokens = (t.transpose(1, 2) for t in (q, k, v))
        outputs = function(*tokens, softmax_scale=scale, causal=causal, return_attn_probs=True)
        return outputs[0].transpose(1, 2), outputs[1]

    return attend


def _flex(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    from torch.nn.attention.flex_attention import AuxRequest

    out, aux = _compiled_flex()(
        q, k, v, scale=scale, enable_gqa=True, return_aux=AuxRequest(lse=True),
        block_mask=_causal_blocks(q.shape[2], str(q.device)) if causal else None,
    )  # fmt: skip
    return out, aux.lse


@lru_cache(maxsize=1)
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


@lru_cache(maxsize=1)
def _causal_blocks(length: int, device: str) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def is_visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return i >= j

    # Compiled, because in eager mode it first builds the complete N × N mask.
    return create_block_mask(is_visible, None, None, length, length, device=device, _compile=True)


FUSED_KERNELS: dict[str, FusedKernel] = {
    "flash": FusedKernel(_flash, devices=("cpu", "cuda")),
    "cudnn": FusedKernel(_cudnn, wide=True),
    "flash-attn 2": FusedKernel(_flash_attn("flash_attn"), module="flash_attn", by_token=True),
    "flash-attn 3": FusedKernel(
        _flash_attn("flash_attn_interface"), module="flash_attn_interface", wide=True, by_token=True
    ),
    "flex": FusedKernel(_flex, wide=True),
}
