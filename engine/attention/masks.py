"""Read transformers' masks into O(N) descriptions of which keys each query may see.

transformers hands a mask interface a Python function of (batch, head, query, key). The known
patterns are read off it, and sampled points are compared with the function itself, so that a
pattern this module does not know is refused and never guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionMaskInterface

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.text import count
from attentropy.kernels.common.mask import Mask

# A mask that a model builds itself, or must be given whole, is read back up to this many keys.
DENSE_TOKENS = 4096


class Built:
    """Whether the models that are recorded need their masks built, in every thread."""

    needed = False


class UnknownMask(AttentropyError):
    """A mask that the kernels' arguments cannot describe."""


def describe_mask(
    batch_size: int,
    q_length: int | None = None,
    kv_length: int = 0,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Tensor] | None = None,
    attention_mask: Tensor | Visibility | None = None,
    **rest: Any,
) -> Visibility | Tensor:
    """Describe the mask that transformers would have built: a mask interface of transformers.

    `attention_mask` is padding, [B, tokens], or a description made earlier, which is handed back.
    Raises `UnknownMask` for a pattern or padding that the description cannot hold. Where
    `Built.needed` is set, the mask itself instead, up to `DENSE_TOKENS` keys: for models that
    combine masks themselves, see `read_dense`.
    """
    if isinstance(attention_mask, Visibility):
        return attention_mask
    if Built.needed:
        _check_dense(int(kv_length))
        build = AttentionMaskInterface()["eager"]
        return build(
            batch_size=batch_size, q_length=q_length, kv_length=kv_length, q_offset=q_offset,
            kv_offset=kv_offset, mask_function=mask_function, attention_mask=attention_mask, **rest,
        )  # fmt: skip
    if mask_function is None or q_length is None:
        raise UnknownMask("this model requests its mask in a way that attentropy does not support")
    pattern = _read(mask_function)
    images = pattern.pop("images", None)
    if images is not None:
        pattern["last_keys"] = _last_keys(images, pattern, int(kv_offset), int(kv_length))
    starts, lengths = _padding(attention_mask, kv_length, int(kv_offset), batch_size)
    mask = Mask(
        queries=int(q_length),
        keys=int(kv_length),
        query_offset=int(q_offset) - int(kv_offset),
        key_starts=starts,
        key_lengths=lengths,
        **pattern,
    )
    visibility = Visibility(mask, int(kv_offset))
    _verify(visibility, mask_function, attention_mask, batch_size)
    return visibility


def read_dense(mask: Tensor, queries: int, keys: int) -> Visibility:
    """Describe a mask [B, 1 or heads, queries, keys] that a model built itself.

    Boolean (True is seen) or added to the scores (0 is seen, hugely negative is not). What is read
    off it is compared with all of it. Raises `UnknownMask` for any other pattern (sparse attention
    that leaves keys out, a bias), or one of more than `DENSE_TOKENS` keys.
    """
    _check_dense(keys)
    if mask.ndim != 4 or tuple(mask.shape[2:]) != (queries, keys):
        raise UnknownMask(
            f"a custom mask of shape {list(mask.shape)} for {count(queries, 'query', 'queries')} "
            f"and {count(keys, 'key')}"
        )
    visible = mask if mask.dtype == torch.bool else mask == 0
    if mask.dtype != torch.bool and not bool((visible | (mask < -1e4)).all()):
        raise UnknownMask("a custom mask that also changes the scores (a bias)")
    if not torch.equal(visible[:, :1].expand_as(visible), visible):
        raise UnknownMask("a custom mask that differs between heads")
    visible = visible[:, 0]
    offset = keys - queries
    key = torch.arange(keys, device=visible.device)
    query = torch.arange(queries, device=visible.device)
    at = query + offset
    causal = not bool(visible[:, key > at[:, None]].any())
    anyone = visible.any(1)  # [B, keys]
    starts, lengths = anyone.to(torch.int8).argmax(-1), anyone.sum(-1)
    # How far back each query sees, and how far it could: a window where the one is less.
    back = torch.where(visible.any(-1), at - visible.to(torch.int8).argmax(-1) + 1, 0)
    room = torch.where(visible.any(-1), at - starts[:, None] + 1, 0)
    padded = not bool(anyone.all())
    read = Mask(
        queries, keys, offset, causal=causal,
        window=int(back.max()) if bool((back < room).any()) else None,
        key_starts=starts if padded else None, key_lengths=lengths if padded else None,
    )  # fmt: skip
    same = read.sees(at[:, None], key[None, :]) == visible
    # A padded query's own row may be anything: no one reads it.
    if not bool((same | ~anyone[:, offset:, None]).all()):
        raise UnknownMask(
            "a custom mask that is more than a window and padding, such as that of sparse attention"
        )
    return Visibility(read)


def _check_dense(keys: int) -> None:
    if keys > DENSE_TOKENS:
        raise UnknownMask(
            f"this model needs a dense mask, which is built for at most {DENSE_TOKENS:,} tokens; "
            "shorten the text"
        )


def _read(function: Callable[..., Tensor]) -> dict[str, Any]:
    """Return the pattern of a mask function, read off its name and what it closes over."""
    name = function.__qualname__.split(".")[0]
    closed = inspect.getclosurevars(function).nonlocals
    if name == "causal_mask_function":
        return {"causal": True}
    if name == "bidirectional_mask_function":
        return {"causal": False}
    if name == "sliding_window_overlay":
        return {"window": int(closed["sliding_window"])}
    if name == "sliding_window_bidirectional_overlay":  # its window is inclusive, ours is not
        return {"window": int(closed["sliding_window"]) + 1}
    if name == "chunked_overlay":
        return {"chunk": int(closed["chunk_size"])}
    if name == "and_masks":
        merged: dict[str, Any] = {}
        for part in closed["mask_functions"]:
            for key, value in _read(part).items():
                earlier = merged.setdefault(key, value)
                if earlier is not value and earlier != value:
                    raise UnknownMask(f"a mask with two different {key} patterns")
        return merged
    if name == "or_masks":  # the tokens of an image see each other
        *parts, images = closed["mask_functions"]
        if len(parts) == 1 and images.__qualname__.split(".")[0] == "blockwise_overlay":
            ids = inspect.getclosurevars(images).nonlocals["block_sequence_ids"]
            pattern = _read(parts[0])
            if not bool((ids >= 0).any()):
                return pattern
            longest = max(int(row[row >= 0].bincount().max()) for row in ids if (row >= 0).any())
            if longest <= pattern.get("window", longest):  # a longer one would reach beyond it
                return pattern | {"images": ids}
    raise UnknownMask(f"a mask pattern that attentropy does not support ({name})")


def _last_keys(images: Tensor, pattern: dict[str, Any], first_key: int, keys: int) -> Tensor | None:
    """Return the last key that each of a call's positions sees, None where no image is there.

    images [B, tokens]: the number of the image that each token belongs to, −1 for none. The tokens
    of an image see each other, as far as a window lets them. Raises `UnknownMask` where they are
    no run, or the rest of the mask is not causal.
    """
    ids = images[:, first_key : first_key + keys]
    if not bool((ids >= 0).any()):
        return None
    edge = torch.ones_like(ids[:, :1], dtype=torch.bool)
    is_last = torch.cat([ids[:, 1:] != ids[:, :-1], edge], 1)
    runs = [len(row[row >= 0]) for row in ids.masked_fill(~is_last, -1)]
    is_run = runs == [len(row[row >= 0].unique()) for row in ids]
    if not is_run or not pattern.get("causal") or "chunk" in pattern:
        raise UnknownMask(
            "images whose tokens see each other in a way that attentropy does not support; record "
            "it with a text alone"
        )
    position = torch.arange(ids.shape[1], device=ids.device)
    last = torch.where(is_last, position, ids.shape[1]).flip(1).cummin(1).values.flip(1)
    return torch.where(ids >= 0, last, position)


def _padding(
    attention_mask: Tensor | None, keys: int, first_key: int, batch_size: int
) -> tuple[Tensor | None, Tensor | None]:
    """Return where the visible run of keys starts and its length, [B] each; None without padding.

    Counted from the first key of this call: negative where a sliding cache dropped the beginning,
    which chunks and sink tokens are still counted from.
    """
    if attention_mask is None:
        return (torch.full((batch_size,), -first_key) if first_key else None), None
    if attention_mask.ndim != 2:
        raise UnknownMask(
            f"an attention mask with {count(attention_mask.ndim, 'dimension')} instead of 2"
        )
    mask = _padding_mask(attention_mask, first_key + keys)
    if bool(mask.all()):
        return _padding(None, keys, first_key, batch_size)
    lengths = mask.sum(-1)
    starts = mask.to(torch.int8).argmax(-1)
    position = torch.arange(first_key + keys, device=mask.device)
    run = (position >= starts[:, None]) & (position < (starts + lengths)[:, None])
    if not torch.equal(run, mask):
        raise UnknownMask("padding in the middle of a sequence; pad on the left or on the right")
    return starts - first_key, lengths


def _padding_mask(attention_mask: Tensor, length: int) -> Tensor:
    """Return which positions are tokens, [B, length] bool; none beyond what the mask says."""
    mask = attention_mask[:, :length].bool()
    return torch.nn.functional.pad(mask, (0, length - mask.shape[1]))


def _verify(
    visibility: Visibility, function: Callable[..., Tensor], padding: Tensor | None, batch_size: int
) -> None:
    """Compare the description with the mask function at the points where they could differ."""
    device = padding.device if padding is not None else torch.device("cpu")
    mask = visibility.mask
    grid = torch.linspace(0, mask.queries - 1, min(mask.queries, 33)).round().long()
    query = grid[:, None] + mask.query_offset
    edges = [torch.linspace(0, mask.keys - 1, min(mask.keys, 33)).round().long()[None, :]]
    reach = {0, mask.window or 0, mask.chunk or 0}
    edges = [edge.expand(len(grid), -1) for edge in edges]
    edges += [query + sign * r + step for r in reach for sign in (-1, 1) for step in (-1, 0, 1)]
    key = torch.cat(edges, 1).clamp(0, mask.keys - 1)
    query, key = (t.to(device) for t in torch.broadcast_tensors(query, key))
    head = torch.zeros_like(query)
    if padding is not None:
        padding = _padding_mask(padding, visibility.first_key + mask.keys)
    for b in range(batch_size):
        batch = torch.full_like(query, b)
        expected = function(batch, head, query + visibility.first_key, key + visibility.first_key)
        if padding is not None:
            expected = expected & padding[batch, key + visibility.first_key]
        if not torch.equal(visibility.of(b).mask.sees(query, key)[0], expected.expand_as(query)):
            raise UnknownMask("a mask that does not follow the pattern that it seems to have")
