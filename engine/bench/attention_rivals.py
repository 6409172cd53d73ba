"""The ways to compute attention's entropy: ours, the bound without entropy, and the others.

Tensors are laid out, padded and repeated before the clock starts, which favours the others.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad, scaled_dot_product_attention

from attentropy.engine.bench.attention import TILE
from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.rival import Numbers, Rival, Run
from attentropy.engine.measure.fused_kernels import FUSED_KERNELS, FusedKernel
from attentropy.engine.trace.statistics import DEFAULT_STATS
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.ops import STATS, attention
from attentropy.kernels.sweep import attention_map, attention_received

OURS = "ours, entropy"
_LARGEST_HEAD = 256  # that the fused kernels take


def _our_attention(*stats: str, impl: Implementation | None = None) -> Rival:
    """Return our attention, which computes `stats` in the same sweep."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        def run() -> Numbers:
            result = attention(q, k, v, causal=case.causal, stats=stats, impl=impl)
            return {name: getattr(result, name) for name in ("out", "lse", *stats)}

        return run

    return Rival("ours", prepare, ("cpu",) if impl == "portable" else ("cpu", "cuda"))


def _torch_alone(backend: SDPBackend, *devices: str) -> Rival:
    """Return PyTorch's attention without entropy."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        def run() -> Numbers:
            with sdpa_kernel([backend]):
                out = scaled_dot_product_attention(
                    q, k, v, is_causal=case.causal, enable_gqa=case.heads != case.key_heads
                )
            return {"out": out}

        return run

    return Rival("ceiling", prepare, devices)


def _stock_alone(stock: FusedKernel) -> Rival:
    """Return a stock kernel without entropy."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        q, k, v = (stock.laid(t) for t in (q, k, v))
        return lambda: {"out": stock.attend(q, k, v, case.causal, case.head_size**-0.5)[0]}

    return Rival("ceiling", prepare, stock.devices, stock.module)


def _entropy_from_mean_key(q: Tensor, mean_key: Tensor, lse: Tensor, scale: float) -> Tensor:
    """Return H = lse − scale · q · Σ p k."""
    return lse - scale * (q.float() * mean_key.float()).sum(-1)


def _stock_twice(stock: FusedKernel) -> Rival:
    """Return a stock kernel that runs twice, the second time with the keys as values."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        q, k, v = (stock.laid(t) for t in (q, k, v))
        scale = case.head_size**-0.5

        def run() -> Numbers:
            out, lse = stock.attend(q, k, v, case.causal, scale)
            mean_key, _ = stock.attend(q, k, k, case.causal, scale)
            return {"out": out, "entropy": _entropy_from_mean_key(q, mean_key, lse, scale)}

        return run

    return Rival("twice", prepare, stock.devices, stock.module)


def _stock_once(stock: FusedKernel) -> Rival:
    """Return a stock kernel that runs once, with the keys next to the values.

    q and k are padded with zeros where D must equal Dv.
    """

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        size = case.head_size
        if 2 * size > _LARGEST_HEAD:
            raise NotImplementedError(f"[V, K] is wider than {_LARGEST_HEAD}")
        both = stock.laid(torch.cat([v, k], -1))
        wide_q, wide_k = (
            stock.laid(t if stock.wide else pad(t, (0, both.shape[-1] - size))) for t in (q, k)
        )
        scale = size**-0.5

        def run() -> Numbers:
            wide_out, lse = stock.attend(wide_q, wide_k, both, case.causal, scale)
            out, mean_key = wide_out.split(size, -1)
            return {"out": out, "entropy": _entropy_from_mean_key(q, mean_key, lse, scale)}

        return run

    return Rival("once", prepare, stock.devices, stock.module)


def _stock_and_sweep(stock: FusedKernel) -> Rival:
    """Return a stock kernel for lse, and a sweep over the scores alone: Σ −p ln p of each row."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        laid_q, laid_k, laid_v = (stock.laid(t) for t in (q, k, v))
        row = (1, case.length)

        def run() -> Numbers:
            out, lse = stock.attend(laid_q, laid_k, laid_v, case.causal, case.head_size**-0.5)
            entropy = attention_map(q, k, lse, tile=row, values="entropy", causal=case.causal)
            return {"out": out, "entropy": entropy[..., 0]}

        return run

    return Rival("sweep", prepare, stock.devices, stock.module)


def _prepare_eager(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
    """Prepare what `output_attentions` does: all weights in memory, then −Σ p ln p.

    Raises `MemoryError` where the weights do not fit.
    """
    pairs = case.heads * case.length**2
    needed, free = pairs * (q.element_size() + 8), _free_bytes(case.device)
    if needed > free:
        raise MemoryError(
            f"needs {needed / 1e9:.0f} GB for its weights, {free / 1e9:.0f} GB are free"
        )
    group, scale = case.heads // case.key_heads, case.head_size**-0.5
    k, v = (t.repeat_interleave(group, 1) for t in (k, v))

    def run() -> Numbers:
        s = q @ k.transpose(-1, -2) * scale
        if case.causal:
            hidden = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).triu(1)
            s = s.masked_fill(hidden, -torch.inf)
        p = s.softmax(-1, dtype=torch.float32)
        return {"out": p.to(q.dtype) @ v, "entropy": torch.special.entr(p).sum(-1)}

    return run


def _free_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 4 * 2**30
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def _second_sweep(name: str) -> Rival:
    """Return a sweep that needs lse: "map" or "received". The pass that gives lse is not timed."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        lse = attention(q, k, v, causal=case.causal, stats=()).lse

        def run() -> Numbers:
            if name == "map":
                values = attention_map(q, k, lse, tile=TILE, heads="mean", causal=case.causal)
            else:
                values = attention_received(q, k, lse, causal=case.causal)
            return {name: values, "lse": lse}

        return run

    return Rival("second", prepare, work=0.5)


RIVALS: dict[str, Rival] = {
    OURS: _our_attention("entropy"),
    "ours, all off": _our_attention(),
    "ours, default statistics": _our_attention(*DEFAULT_STATS),
    "ours, every statistic": _our_attention(*(name for name in STATS if name != "sink_prob")),
    "ours in PyTorch, default statistics": _our_attention(*DEFAULT_STATS, impl="portable"),
    "flash": _torch_alone(SDPBackend.FLASH_ATTENTION, "cpu", "cuda"),
    "cudnn": _torch_alone(SDPBackend.CUDNN_ATTENTION, "cuda"),
    **{
        name: _stock_alone(FUSED_KERNELS[name]) for name in ("flash-attn 2", "flash-attn 3", "flex")
    },
    **{f"{name} twice, V := K": _stock_twice(stock) for name, stock in FUSED_KERNELS.items()},
    **{f"{name} once, [V, K]": _stock_once(stock) for name, stock in FUSED_KERNELS.items()},
    **{f"{name} + sweep": _stock_and_sweep(stock) for name, stock in FUSED_KERNELS.items()},
    "eager": Rival("eager", _prepare_eager),
    f"attention_map, tile {TILE}": _second_sweep("map"),
    "attention_received": _second_sweep("received"),
}
