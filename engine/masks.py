"""Who may see whom, as a few numbers: transformers' mask functions read into O(N) descriptions.

transformers hands a mask interface a Python function of (batch, head, query, key). The known
patterns are read off it, and sampled points are compared with the function itself, so that a
pattern this module does not know is refused and never guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.errors import AttentropyError


class UnknownMask(AttentropyError):
    """A mask that the kernels' arguments cannot describe."""


@dataclass(frozen=True)
class Visibility:
    """What one attention call's queries may see, in the terms of `attentropy.attention`.

    `query_offset` is the index of query 0 among the keys. `key_starts` and `key_lengths` [B] are
    left and right padding, as `attention` takes them;
    `first_key` is the sequence position of key 0, above 0 where a sliding cache dropped some.
    """

    queries: int
    keys: int
    query_offset: int
    first_key: int = 0
    causal: bool = True
    window: int | None = None
    chunk: int | None = None
    key_starts: Tensor | None = None
    key_lengths: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> Visibility:
        """Its padding moved as a tensor is: accelerate does so with every argument of a layer."""
        if self.key_starts is None and self.key_lengths is None:
            return self
        starts, lengths = (
            None if numbers is None else numbers.to(*args, **kwargs)
            for numbers in (self.key_starts, self.key_lengths)
        )
        return replace(self, key_starts=starts, key_lengths=lengths)

    def arguments(self) -> dict[str, Any]:
        """The mask arguments of `attentropy.attention`."""
        return {
            "causal": self.causal,
            "window": self.window,
            "chunk": self.chunk,
            "key_starts": self.key_starts,
            "key_lengths": self.key_lengths,
            "query_offset": self.query_offset,
        }

    def counts(self, batch: int) -> Tensor:
        """Number of keys that each query may see, [batch, queries] int64, on the CPU."""
        query = torch.arange(self.queries)[None, :] + self.query_offset
        start = torch.zeros(batch, 1, dtype=torch.int64)
        if self.key_starts is not None:
            start = self.key_starts.cpu().to(torch.int64)[:, None]
        stop = torch.full((batch, 1), self.keys)
        if self.key_lengths is not None:
            stop = torch.minimum(stop, start + self.key_lengths.cpu().to(torch.int64)[:, None])
        low, high = start.clamp_min(0).expand(batch, self.queries), stop.expand(batch, self.queries)
        if self.chunk is not None:
            first = start + (query - start).div(self.chunk, rounding_mode="floor") * self.chunk
            low, high = torch.maximum(low, first), torch.minimum(high, first + self.chunk)
        if self.window is not None:
            low = torch.maximum(low, query - self.window + 1)
            if not self.causal:
                high = torch.minimum(high, query + self.window)
        if self.causal:
            high = torch.minimum(high, query + 1)
        return (high - low).clamp_min(0)

    def sees(self, batch: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Whether a query (index in this call) may see a key (index in this call); broadcasts."""
        query = query + self.query_offset
        start = torch.zeros_like(batch)
        if self.key_starts is not None:
            start = self.key_starts.to(batch.device, torch.int64)[batch]
        seen = (key >= start) & (key < self.keys)
        if self.key_lengths is not None:
            seen &= key < start + self.key_lengths.to(batch.device, torch.int64)[batch]
        if self.causal:
            seen = seen & (key <= query)
        if self.window is not None:
            seen = seen & (query - self.window < key)
            if not self.causal:
                seen = seen & (key < query + self.window)
        if self.chunk is not None:
            seen = seen & ((key - start) // self.chunk == (query - start) // self.chunk)
        return seen


def describe_mask(
    batch_size: int,
    q_length: int | None = None,
    kv_length: int = 0,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Tensor] | None = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> Visibility:
    """A mask interface of transformers: the description of what it would have built.

    Raises `UnknownMask` for a pattern or padding that the description cannot hold.
    """
    if mask_function is None or q_length is None:
        raise UnknownMask("this model asks for a mask in a way that attentropy does not know")
    pattern = _read(mask_function)
    starts, lengths = _padding(attention_mask, kv_length, int(kv_offset), batch_size)
    seen = Visibility(
        queries=int(q_length),
        keys=int(kv_length),
        query_offset=int(q_offset) - int(kv_offset),
        first_key=int(kv_offset),
        key_starts=starts,
        key_lengths=lengths,
        **pattern,
    )
    _verify(seen, mask_function, attention_mask, batch_size)
    return seen


def _read(function: Callable[..., Tensor]) -> dict[str, Any]:
    """The pattern of a mask function of transformers, read off its name and what it closes over."""
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
                if merged.setdefault(key, value) != value:
                    raise UnknownMask(f"a mask with two different {key} patterns")
        return merged
    if name == "or_masks":  # blocks of images: of a text alone they hold nothing
        parts = [part for part in closed["mask_functions"] if not _never(part)]
        if len(parts) == 1:
            return _read(parts[0])
    raise UnknownMask(f"a mask pattern that attentropy cannot describe ({name})")


def _never(function: Callable[..., Tensor]) -> bool:
    """Whether a mask function is that of blocks, and no token is in any."""
    if function.__qualname__.split(".")[0] != "blockwise_overlay":
        return False
    ids = inspect.getclosurevars(function).nonlocals["block_sequence_ids"]
    return bool((ids < 0).all())


def _padding(
    attention_mask: Tensor | None, keys: int, first_key: int, batch_size: int
) -> tuple[Tensor | None, Tensor | None]:
    """Where the visible run of keys starts and how long it is, [B] each; None without padding.

    Counted from the first key of this call: negative where a sliding cache dropped the beginning,
    which chunks and sink tokens are still counted from.
    """
    if attention_mask is None:
        return (torch.full((batch_size,), -first_key) if first_key else None), None
    if attention_mask.ndim != 2:
        raise UnknownMask(f"an attention mask of {attention_mask.ndim} dimensions, expected 2")
    mask = attention_mask[:, : first_key + keys].bool()
    if mask.shape[1] < first_key + keys:
        mask = torch.nn.functional.pad(mask, (0, first_key + keys - mask.shape[1]))
    if bool(mask.all()):
        return _padding(None, keys, first_key, batch_size)
    lengths = mask.sum(-1)
    starts = mask.to(torch.int8).argmax(-1)
    position = torch.arange(first_key + keys, device=mask.device)
    run = (position >= starts[:, None]) & (position < (starts + lengths)[:, None])
    if not torch.equal(run, mask):
        raise UnknownMask("padding in the middle of a sequence; pad on the left or on the right")
    return starts - first_key, lengths


def _verify(
    seen: Visibility, function: Callable[..., Tensor], padding: Tensor | None, batch_size: int
) -> None:
    """Compare the description with the mask function at the points where they could differ."""
    device = padding.device if padding is not None else torch.device("cpu")
    last = seen.queries - 1
    grid = torch.linspace(0, last, min(seen.queries, 33)).round().long()
    query = grid[:, None]
    here = query + seen.query_offset
    edges = [torch.linspace(0, seen.keys - 1, min(seen.keys, 33)).round().long()[None, :]]
    reach = {0, seen.window or 0, seen.chunk or 0}
    edges = [edge.expand(len(grid), -1) for edge in edges]
    edges += [here + sign * r + step for r in reach for sign in (-1, 1) for step in (-1, 0, 1)]
    key = torch.cat(edges, 1).clamp(0, seen.keys - 1)
    query, key = (t.to(device) for t in torch.broadcast_tensors(query, key))
    head = torch.zeros_like(query)
    for b in range(batch_size):
        batch = torch.full_like(query, b)
        absolute = query + seen.query_offset + seen.first_key
        expected = function(batch, head, absolute, key + seen.first_key)
        if padding is not None and padding.shape[-1] >= seen.first_key + seen.keys:
            expected = expected & padding.bool()[batch, key + seen.first_key]
        if not torch.equal(seen.sees(batch, query, key), expected.expand_as(query)):
            raise UnknownMask("a mask that differs from the pattern attentropy read off it")
