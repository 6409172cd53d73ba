"""The second sweep, conditioned on `lse`: where the weights of an attention pass went.

Every function takes lse [B, Hq, Nq] from `attentropy.attention` and the same mask arguments, gives
float32, and holds nothing larger than its result. `impl` as there. values="weight" sums p_ij,
"entropy" −p_ij ln p_ij: the nats that a key adds to its row's entropy.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor

from attentropy.kernels.attention.portable import Score
from attentropy.kernels.common import checks, reference
from attentropy.kernels.common.choice import Implementation, attention_lacks, choose
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.second_sweep import portable as portable_sweep

Values = Literal["weight", "entropy"]
Heads = Literal["all", "mean"]


class MaskArguments(TypedDict, total=False):
    """The arguments of `attention` that decide the scores and who sees whom."""

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


def attention_window(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    rows: tuple[int, int],
    cols: tuple[int, int],
    *,
    values: Values = "weight",
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """Exact attention weights of a rectangle, [B, Hq, rows, cols]; 0 where not visible.

    rows, cols: (start, stop) of queries and keys. Raises as `attention` does.
    """
    where = checks.Call("attention_window", q=q, k=k, rows=rows, cols=cols)
    how, score, seen = _prepare(where, q, k, lse, impl, mask)
    for (start, stop), length in ((rows, q.shape[2]), (cols, k.shape[2])):
        if not 0 <= start <= stop <= length:
            raise ValueError(f"{where}: ({start}, {stop}) is not a range within {length}")
    _check_choice(where, "values", values, ("weight", "entropy"))
    if how is None:
        return _weights(q, k, lse, score, seen, values)[:, :, slice(*rows), slice(*cols)]
    return how.window(q, k, lse, rows, cols, values=values, score=score, mask=seen)


def attention_map(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    *,
    tile: int | tuple[int, int],
    values: Values = "weight",
    heads: Heads = "all",
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """The mean over a tile's queries of what they put into it, [B, Hq, ⌈Nq/tile⌉, ⌈Nk/tile⌉].

    tile: an int or (queries, keys). heads="mean" averages them on the fly, [B, 1, …]. The tiles of
    a row of tiles sum to 1 (or to the queries' mean entropy). Raises as `attention` does.
    """
    where = checks.Call("attention_map", q=q, k=k, tile=tile)
    how, score, seen = _prepare(where, q, k, lse, impl, mask)
    sides = (tile, tile) if isinstance(tile, int) else tuple(tile)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"{where}: a tile is one size or two, each at least 1")
    _check_choice(where, "values", values, ("weight", "entropy"))
    _check_choice(where, "heads", heads, ("all", "mean"))
    if how is not None:
        return how.tile_mass(
            q, k, lse, sides, values, heads == "mean", score, seen
        )  # fmt: skip
    p = _weights(q, k, lse, score, seen, values)
    if heads == "mean":
        p = p.mean(1, keepdim=True)
    rows = [part.sum(2) / part.shape[2] for part in p.split(sides[0], 2)]
    whole = torch.stack(rows, 2) if rows else p
    return torch.stack([part.sum(-1) for part in whole.split(sides[1], -1)], -1)


def attention_received(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    *,
    heads: Heads = "all",
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """What each key receives from all queries together, Σ_i p_ij, [B, Hq, Nk].

    heads="mean" averages them on the fly, [B, 1, Nk]. Raises as `attention` does.
    """
    where = checks.Call("attention_received", q=q, k=k)
    how, score, seen = _prepare(where, q, k, lse, impl, mask)
    _check_choice(where, "heads", heads, ("all", "mean"))
    if how is not None:
        return how.received(q, k, lse, heads == "mean", score, seen)
    total = _weights(q, k, lse, score, seen, "weight").sum(2)
    return total.mean(1, keepdim=True) if heads == "mean" else total


def attention_at(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    keys: Tensor,
    *,
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """The weight on one chosen key per query, `keys` [B, Nq]: [B, Hq, Nq].

    0 where the query does not see its key; a key outside of 0 … Nk−1 (−1, say) is seen by none.
    Raises as `attention` does.
    """
    where = checks.Call("attention_at", q=q, k=k, keys=keys)
    how, score, seen = _prepare(where, q, k, lse, impl, mask)
    if keys.shape != (q.shape[0], q.shape[2]) or keys.is_floating_point():
        raise ValueError(f"{where}: keys are integers [B, Nq], one per query")
    keys = keys.to(q.device, torch.int64)
    if how is not None:
        return how.at(q, k, lse, keys, score, seen)
    p = _weights(q, k, lse, score, seen, "weight")
    inside = (keys >= 0) & (keys < k.shape[2])
    index = torch.where(inside, keys, 0)[:, None, :, None].expand(-1, q.shape[1], -1, 1)
    return torch.where(inside[:, None], p.gather(-1, index)[..., 0], 0.0)


def attention_recent(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    last: int,
    *,
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """The mass on the last `last` keys that each query sees, [B, Hq, Nq].

    0 for a query that sees no key. Raises as `attention` does.
    """
    where = checks.Call("attention_recent", q=q, k=k, last=last)
    how, score, seen = _prepare(where, q, k, lse, impl, mask)
    if last < 1:
        raise ValueError(f"{where}: last={last} is not at least 1")
    if how is not None:
        return how.recent(q, k, lse, last, score, seen)
    p = _weights(q, k, lse, score, seen, "weight")
    visible = reference.visible(q.shape[0], seen).to(p.device).expand_as(p)
    later = visible.long().flip(-1).cumsum(-1).flip(-1)
    return torch.where(visible & (later <= last), p, 0.0).sum(-1)


def _prepare(
    where: checks.Call,
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    impl: Implementation | None,
    given: MaskArguments,
) -> tuple[ModuleType | None, Score, Mask]:
    """The module that computes it (None: the definition), and the checked arguments of all."""
    if unknown := sorted(set(given) - set(MaskArguments.__annotations__)):
        raise TypeError(f"{where}: unknown argument {unknown[0]!r}")
    checks.implementation(where, impl)
    checks.tensors(where, {"q": q, "k": k, "lse": lse[..., None]}, 4)
    mask, scale = checks.scores(
        where, q, k, given.get("scale"), given.get("softcap"), given.get("slopes"),
        given.get("causal", True), given.get("window"), given.get("chunk"),
        given.get("key_starts"), given.get("key_lengths"), given.get("segments"),
        given.get("query_offset"),
    )  # fmt: skip
    if lse.shape != q.shape[:3]:
        raise ValueError(f"{where}: lse {checks.shape(lse)} is not [B, Hq, Nq] of q")
    checks.inference(where, q, k, lse, given.get("slopes"))
    how: ModuleType | None = None if impl == "reference" else portable_sweep
    if choose(where, impl, q, attention_lacks(q, k)) == "triton":
        from attentropy.kernels.second_sweep import triton_launch as how
    return how, Score(scale, given.get("softcap"), given.get("slopes")), mask


def _check_choice(where: checks.Call, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{where}: {name}={value!r} is neither {known[0]!r} nor {known[1]!r}")


def _weights(q: Tensor, k: Tensor, lse: Tensor, score: Score, mask: Mask, values: Values) -> Tensor:
    """All weights [B, Hq, Nq, Nk] in float64: the definition."""
    s = reference.scores(
        q, k, scale=score.scale, softcap=score.softcap, slopes=score.slopes,
        offset=mask.query_offset,
    )  # fmt: skip
    log_p = s - lse.double()[..., None]
    p = torch.where(reference.visible(q.shape[0], mask).to(s.device), log_p.exp(), 0.0)
    return torch.where(p > 0, -p * log_p, 0.0) if values == "entropy" else p
