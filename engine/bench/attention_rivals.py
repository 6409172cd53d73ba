"""Who is measured for attention: ours, the ceiling without entropy, the other ways to get it.

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
from attentropy.engine.bench.rival import Found, Rival, Run
from attentropy.engine.measure.stock import STOCK, Stock
from attentropy.kernels.ops import STATS, attention
from attentropy.kernels.sweep import attention_map, attention_received

OURS = "ours, entropy"
_WIDEST = 256  # the head size that the fused kernels end at


def _ours(*stats: str) -> Rival:
    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        def run() -> Found:
            found = attention(q, k, v, causal=case.causal, stats=stats)
            return {name: getattr(found, name) for name in ("out", "lse", *stats)}

        return run

    return Rival("ours", prepare)


def _sdpa(backend: SDPBackend, *devices: str) -> Rival:
    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        def run() -> Found:
            with sdpa_kernel([backend]):
                out = scaled_dot_product_attention(
                    q, k, v, is_causal=case.causal, enable_gqa=case.heads != case.key_heads
                )
            return {"out": out}

        return run

    return Rival("ceiling", prepare, devices)


def _alone(stock: Stock) -> Rival:
    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        q, k, v = (stock.laid(t) for t in (q, k, v))
        return lambda: {"out": stock.attend(q, k, v, case.causal, case.head_size**-0.5)[0]}

    return Rival("ceiling", prepare, stock.devices, stock.module)


def _from_mean_key(q: Tensor, mean_key: Tensor, lse: Tensor, scale: float) -> Tensor:
    """H = lse − scale · q · Σ p k."""
    return lse - scale * (q.float() * mean_key.float()).sum(-1)


def _twice(stock: Stock) -> Rival:
    """The second call has the keys for values."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        q, k, v = (stock.laid(t) for t in (q, k, v))
        scale = case.head_size**-0.5

        def run() -> Found:
            out, lse = stock.attend(q, k, v, case.causal, scale)
            mean_key, _ = stock.attend(q, k, k, case.causal, scale)
            return {"out": out, "entropy": _from_mean_key(q, mean_key, lse, scale)}

        return run

    return Rival("twice", prepare, stock.devices, stock.module)


def _once(stock: Stock) -> Rival:
    """Keys beside values in one call; q and k are padded with zeros where D must equal Dv."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        size = case.head_size
        if 2 * size > _WIDEST:
            raise NotImplementedError(f"[V, K] is wider than {_WIDEST}")
        both = stock.laid(torch.cat([v, k], -1))
        wide_q, wide_k = (
            stock.laid(t if stock.wide else pad(t, (0, both.shape[-1] - size))) for t in (q, k)
        )
        scale = size**-0.5

        def run() -> Found:
            found, lse = stock.attend(wide_q, wide_k, both, case.causal, scale)
            out, mean_key = found.split(size, -1)
            return {"out": out, "entropy": _from_mean_key(q, mean_key, lse, scale)}

        return run

    return Rival("once", prepare, stock.devices, stock.module)


def _swept(stock: Stock) -> Rival:
    """lse from the stock kernel, then a sweep over the scores alone: Σ −p ln p of each row."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        laid_q, laid_k, laid_v = (stock.laid(t) for t in (q, k, v))
        row = (1, case.length)

        def run() -> Found:
            out, lse = stock.attend(laid_q, laid_k, laid_v, case.causal, case.head_size**-0.5)
            whole = attention_map(q, k, lse, tile=row, values="entropy", causal=case.causal)
            return {"out": out, "entropy": whole[..., 0]}

        return run

    return Rival("sweep", prepare, stock.devices, stock.module)


def _eager(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
    """As `output_attentions` does: all weights in memory, then −Σ p ln p."""
    pairs = case.heads * case.length**2
    needed, free = pairs * (q.element_size() + 8), _free_bytes(case.device)
    if needed > free:
        raise MemoryError(f"needs {needed / 1e9:.0f} GB for its weights, {free / 1e9:.0f} are free")
    group, scale = case.heads // case.key_heads, case.head_size**-0.5
    k, v = (t.repeat_interleave(group, 1) for t in (k, v))

    def run() -> Found:
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


def _second(name: str) -> Rival:
    """The sweeps that take lse from the pass before, as part of which they are not timed."""

    def prepare(q: Tensor, k: Tensor, v: Tensor, case: AttentionCase) -> Run:
        lse = attention(q, k, v, causal=case.causal, stats=()).lse

        def run() -> Found:
            if name == "map":
                found = attention_map(q, k, lse, tile=TILE, heads="mean", causal=case.causal)
            else:
                found = attention_received(q, k, lse, causal=case.causal)
            return {name: found, "lse": lse}

        return run

    return Rival("second", prepare, work=0.5)


RIVALS: dict[str, Rival] = {
    OURS: _ours("entropy"),
    "ours, all off": _ours(),
    "ours, every statistic": _ours(*(name for name in STATS if name != "sink_prob")),
    "flash": _sdpa(SDPBackend.FLASH_ATTENTION, "cpu", "cuda"),
    "cudnn": _sdpa(SDPBackend.CUDNN_ATTENTION, "cuda"),
    **{name: _alone(STOCK[name]) for name in ("flash-attn 2", "flash-attn 3", "flex")},
    **{f"{name} twice, V := K": _twice(stock) for name, stock in STOCK.items()},
    **{f"{name} once, [V, K]": _once(stock) for name, stock in STOCK.items()},
    **{f"{name} + sweep": _swept(stock) for name, stock in STOCK.items()},
    "eager": Rival("eager", _eager),
    f"attention_map, tile {TILE}": _second("map"),
    "attention_received": _second("received"),
}
