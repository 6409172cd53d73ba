"""The public operations of the second sweep: where the weights of an attention pass went.

Every function takes q [B, Hq, Nq, D], k [B, Hkv, Nk, D], `lse` [B, Hq, Nq] as `attention` returned
it, and the same mask arguments and `impl`. With lse known, p_ij = exp(s_ij − lse_i) needs no second
softmax, and no array larger than the result exists. Results are float32 (float64 for such inputs
and from the reference). values="weight" sums p_ij, "entropy" −p_ij ln p_ij: the nats that a key
adds to the entropy of its row.
"""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import Tensor

from attentropy.kernels.common import checks
from attentropy.kernels.common.autocast import full_precision
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.second_sweep.call import MaskArguments, prepare

Values = Literal["weight", "entropy"]
Heads = Literal["all", "mean"]


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
    """Return the exact attention weights of a range of queries and a range of keys.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        rows: Range of queries (start, stop).
        cols: Range of keys (start, stop).
        values: "weight" for p_ij, "entropy" for −p_ij ln p_ij in nats.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The values [B, Hq, rows, cols]; 0 where the query does not see the key.

    Raises:
        ValueError: A range is outside the tensors, or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_window
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_window(q, k, attention(q, k, v).lse, rows=(4, 8), cols=(0, 8)).shape
        torch.Size([1, 2, 4, 8])
    """
    call = checks.CallDescription("attention_window", q=q, k=k, rows=rows, cols=cols)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    rows = checks.check_range(call, "rows", rows, q.shape[2])
    cols = checks.check_range(call, "cols", cols, k.shape[2])
    checks.check_choice(call, "values", values, ("weight", "entropy"))
    with full_precision(q.device):
        return implementation.window(q, k, lse, rows, cols, values=values, score=score, mask=rule)


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
    """Return the attention map: per tile, the mean attention of its queries to its keys.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        tile: Tile size in tokens, one number or (queries, keys).
        values: "weight" sums p_ij, "entropy" −p_ij ln p_ij in nats.
        heads: "all" for one result per head, "mean" for the mean over heads.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The map [B, Hq or 1, ⌈Nq/tile⌉, ⌈Nk/tile⌉]. Each row of tiles sums to 1, or to the mean
        entropy of its queries.

    Raises:
        ValueError: An unknown choice, or a tile below 1, or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_map
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_map(q, k, attention(q, k, v).lse, tile=4, heads="mean").shape
        torch.Size([1, 1, 2, 2])
    """
    call = checks.CallDescription("attention_map", q=q, k=k, tile=tile)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    sides = tuple(tile) if isinstance(tile, tuple | list) else (tile, tile)
    if len(sides) != 2:
        raise ValueError(f"{call}: tile must be one size or two")
    sides = checks.check_size(call, "tile", sides[0]), checks.check_size(call, "tile", sides[1])
    checks.check_choice(call, "values", values, ("weight", "entropy"))
    checks.check_choice(call, "heads", heads, ("all", "mean"))
    with full_precision(q.device):
        return implementation.tile_mass(q, k, lse, sides, values, heads == "mean", score, rule)


def attention_received(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    *,
    heads: Heads = "all",
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """Return the attention that each key receives from all queries, Σ_i p_ij.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        heads: "all" for one result per head, "mean" for the mean over heads.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The sums [B, Hq or 1, Nk], between 0 and Nq.

    Raises:
        ValueError: An unknown choice, or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_received
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_received(q, k, attention(q, k, v).lse).shape
        torch.Size([1, 2, 8])
    """
    call = checks.CallDescription("attention_received", q=q, k=k)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    checks.check_choice(call, "heads", heads, ("all", "mean"))
    with full_precision(q.device):
        return implementation.received(q, k, lse, heads == "mean", score, rule)


def attention_at(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    keys: Tensor,
    *,
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """Return the attention weight of each query on one given key.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        keys: One key per query [B, Nq], integers; the weight is 0 outside 0 … Nk − 1.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The weights [B, Hq, Nq]; 0 where the query does not see its key.

    Raises:
        ValueError: `keys` are not integers [B, Nq], or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_at
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_at(q, k, attention(q, k, v).lse, keys=torch.zeros(1, 8).long()).shape
        torch.Size([1, 2, 8])
    """
    call = checks.CallDescription("attention_at", q=q, k=k, keys=keys)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    is_whole = not (keys.is_floating_point() or keys.is_complex() or keys.dtype == torch.bool)
    if keys.shape != (q.shape[0], q.shape[2]) or not is_whole:
        raise ValueError(f"{call}: keys must be integers of shape [B, Nq], one per query")
    with full_precision(q.device):
        return implementation.at(q, k, lse, keys.to(q.device, torch.int64), score, rule)


def attention_recent(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    last: int,
    *,
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """Return the total attention of each query to the last `last` keys that it sees.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        last: Number of keys, at least 1.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The sums [B, Hq, Nq]; 0 for a query that sees no key.

    Raises:
        ValueError: `last` is below 1, or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_recent
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_recent(q, k, attention(q, k, v).lse, last=4).shape
        torch.Size([1, 2, 8])
    """
    call = checks.CallDescription("attention_recent", q=q, k=k, last=last)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    last = checks.check_size(call, "last", last)
    with full_precision(q.device):
        return implementation.recent(q, k, lse, last, score, rule)


def attention_by_distance(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    *,
    first_keys: int = 4,
    impl: Implementation | None = None,
    **mask: Unpack[MaskArguments],
) -> Tensor:
    """Return the attention of all queries by the distance to the key, in bins of powers of two.

    The distance of query i and key j is |i − j|, so a later key counts like an earlier one. Bin 0
    is distance 0, bin b the distances 2^(b−1) … 2^b − 1: bins 0 … b are a window of 2^b keys.

    Args:
        q: Queries [B, Hq, Nq, D].
        k: Keys [B, Hkv, Nk, D].
        lse: ln Σ_j exp s_ij of each query [B, Hq, Nq], from `attention` with the same mask.
        first_keys: How many of the first keys that are not padding (attention sinks) are summed
            apart from all bins; 0 for none.
        impl: "triton", "native", "portable" or "reference"; by default as in `attention`.
        **mask: The same mask arguments as in the call of `attention`.

    Returns:
        The sums Σ_ij p_ij [B, Hq, 1 + bins], of the first keys and of each bin. The bins are as
        many as the largest distance between a query and a key takes, whatever the mask hides. A
        query that sees a key adds 1 in all, and one that sees none adds 0.

    Raises:
        ValueError: `first_keys` is below 0, or invalid shapes or values.
        TypeError, RuntimeError, NotImplementedError: As in `attention`.

    Examples:
        >>> import torch
        >>> from attentropy import attention, attention_by_distance
        >>> q, k, v = torch.randn(3, 1, 2, 8, 4).unbind()  # 2 heads, 8 tokens, head size 4
        >>> attention_by_distance(q, k, attention(q, k, v).lse).shape  # distances 0, 1, 2-3, 4-7
        torch.Size([1, 2, 5])
    """
    call = checks.CallDescription("attention_by_distance", q=q, k=k, first_keys=first_keys)
    implementation, score, rule = prepare(call, q, k, lse, impl, mask)
    first_keys = checks.check_size(call, "first_keys", first_keys, least=0)
    with full_precision(q.device):
        return implementation.by_distance(q, k, lse, first_keys, score, rule)
