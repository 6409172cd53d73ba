"""What is kept beside the statistics: the map, what keys receive, exact windows, head scores.

One `Sweeps` follows one sequence through its passes. Rows that are done leave it at once; what is
only known at the end (column sums, means over all queries) is a few numbers per key and head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.attention.weights import _ALIVE_BYTES, exact_weights
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.head_sums import HeadSums
from attentropy.engine.maps.windows import Rectangle, Tile
from attentropy.kernels.sweep import attention_map

Layout = dict[str, tuple[tuple[str, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class _Pass:
    """One attention call without its padding: keys and queries are tokens, the first of each
    `seen.first_key` and `seen.position`."""

    query: Tensor
    key: Tensor
    lse: Tensor
    seen: Visibility
    score: dict[str, Any]
    entropy: Tensor | None

    @property
    def rows(self) -> tuple[int, int]:
        return self.seen.position, self.seen.end

    def part(self, start: int, stop: int) -> _Pass:
        """Its queries start … stop−1, counted from its first."""
        rows = slice(start, stop)
        seen = self.seen.part(start, stop)
        return replace(self, query=self.query[:, :, rows], lse=self.lse[:, :, rows], seen=seen)

    @property
    def where(self) -> dict[str, Any]:
        return self.score | self.seen.arguments()


class Sweeps:
    """Follows one sequence of `tokens` tokens, of which each attention call tells in `heard`.

    heads: those of each entry (one attention call of one layer, in the trace's order), 0 for one
    that has none; of an entry that is never heard everything is NaN. tile: the map's (queries,
    keys), None for no map; its heads are averaged unless `map_per_head`. received: whether the
    column sums are kept. induction: scores [entries, heads] measured elsewhere, see
    `induction.induction_scores`.
    """

    def __init__(
        self,
        tokens: int,
        heads: Sequence[int],
        *,
        tile: Tile | None = None,
        map_per_head: bool = False,
        received: bool = True,
        rectangles: Sequence[Rectangle] = (),
        scores: bool = True,
        induction: np.ndarray | None = None,
    ) -> None:
        self.tokens = tokens
        self.heads = tuple(heads)
        self.tile = tile
        self.map_per_head = map_per_head
        self.rectangles = tuple(rectangles)
        self.induction = induction
        self._received = np.zeros((len(self.heads), tokens)) if received else None
        self._scores = HeadSums(self.heads) if scores else None

    def layout(self) -> Layout:
        """The variables that grow row by row: name → (dimensions, shape); NaN until written."""
        entries, most = len(self.heads), max(self.heads, default=0)
        found: Layout = {}
        if self.tile is not None:
            sides = (-(-self.tokens // side) for side in self.tile)
            shape = (entries, most if self.map_per_head else 1, *sides)
            found["map"] = (("layer", "map_head", "map_query", "map_key"), shape)
        for r in self.rectangles:
            axes = (f"window_{axis}{r.suffix}" for axis in ("head", "query", "key"))
            sides = (stop - start for start, stop in (r.rows, r.keys))
            shape = (entries, most if r.per_head else 1, *sides)
            found[r.name] = (("layer", *axes), shape)
            if r.shares and not r.per_head:
                found["window_entropy"] = found[r.name]
        return found

    def coordinates(self) -> dict[str, tuple[str, np.ndarray]]:
        """The coordinates of all its variables; a head of −1 is the mean over heads."""
        most = max(self.heads, default=0)
        found = {}
        if self.tile is not None:
            found["map_head"] = _heads(most if self.map_per_head else None)
            found["map_query"] = np.arange(0, self.tokens, self.tile[0])
            found["map_key"] = np.arange(0, self.tokens, self.tile[1])
        for r in self.rectangles:
            found[f"window_head{r.suffix}"] = _heads(most if r.per_head else None)
            found[f"window_query{r.suffix}"] = np.arange(*r.rows)
            found[f"window_key{r.suffix}"] = np.arange(*r.keys)
        if self._received is not None:
            found["received_head"] = _heads(None)
        if self._scores is not None:
            found["score_head"] = _heads(most)
        return {name: (name, values.astype(np.int32)) for name, values in found.items()}

    def heard(
        self,
        entry: int,
        query: Tensor,
        key: Tensor,
        lse: Tensor,
        seen: Visibility,
        score: dict[str, Any],
        entropy: Tensor | None = None,
    ) -> dict[str, tuple[int, np.ndarray]]:
        """The rows that this pass has finished: name → (first row, values [heads, rows, keys]).

        One sequence: query [1, Hq, Nq, D], key [1, Hkv, Nk, D], lse and entropy (where it is
        recorded; scores are taken from it) [1, Hq, Nq]. Padding is left out, and so is what comes
        after the `tokens`. Raises `AttentropyError` where a pass begins within a tile of the map.
        """
        here = self._tokens_of(_Pass(query, key, lse, seen, score, entropy))
        if here is None:
            return {}
        rows: dict[str, tuple[int, np.ndarray]] = {}
        if self.tile is not None or self._received is not None:
            rows |= self._sums_of_columns(entry, here)
        for rectangle in self.rectangles:
            rows |= _rectangle(rectangle, here)
        if self._scores is not None:
            self._scores.add(entry, here.query, here.key, here.lse, here.seen, score, here.entropy)
        return rows

    def finished(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """What is known at the end: name → (dimensions, float32 values). Σ_i p_ij of each key as
        the mean over heads, and the heads' scores; NaN where nothing was measured."""
        found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        if self._received is not None:
            heard = self._received.sum(1)[:, None, None] > 0  # each query gives its mass to a key
            values = np.where(heard, self._received[:, None], np.nan).astype(np.float32)
            found["received"] = (("layer", "received_head", "position"), values)
        if self._scores is not None:
            for name, values in self._scores.scores().items():
                dims = ("layer", "score_head") if name.startswith("head_") else ("layer",)
                found[name] = (dims, values)
            if self.induction is not None:
                found["head_induction"] = (("layer", "score_head"), self.induction)
        return found

    def state(self) -> dict[str, np.ndarray]:
        """The sums so far, to be saved and given to `restore`; copies."""
        found = {} if self._received is None else {"received": self._received.copy()}
        return found | ({} if self._scores is None else self._scores.state())

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave, as if its passes had been heard."""
        if self._received is not None:
            self._received[...] = state["received"]
        if self._scores is not None:
            self._scores.restore(state)

    def _tokens_of(self, given: _Pass) -> _Pass | None:
        """The pass without padding, its positions counted from the first token; None if no row of
        it is one of the `tokens`."""
        seen = given.seen
        start, stop = seen.span()
        stop = min(stop, start + self.tokens)
        first, last = max(seen.position, start), min(seen.end, stop)
        if last <= first:
            return None
        low = max(0, start - seen.first_key)
        high = min(seen.mask.keys, stop - seen.first_key)
        dropped = seen.first_key + low - start  # tokens that the cache has let go of
        counted = (
            seen.mask.chunk is not None and dropped > 0
        )  # chunks are counted from the first token
        rows = slice(first - seen.position, last - seen.position)
        return replace(
            given,
            query=given.query[:, :, rows],
            key=given.key[:, :, low:high],
            lse=given.lse[:, :, rows],
            entropy=None if given.entropy is None else given.entropy[:, :, rows],
            seen=Visibility(
                replace(
                    seen.mask,
                    queries=last - first,
                    keys=high - low,
                    query_offset=first - start - dropped,
                    key_starts=torch.tensor([-dropped]) if counted else None,
                    key_lengths=None,
                ),
                first_key=dropped,
            ),
        )

    def _sums_of_columns(self, entry: int, here: _Pass) -> dict[str, tuple[int, np.ndarray]]:
        """Map and column sums by one sweep: tiles as tall as the map's and one key wide hold both.

        Sums over few queries in float32, of many in float64 on the host.
        """
        start, stop = here.rows
        tall, wide = self.tile or (stop - start, 1)
        if self.tile is not None and start % tall:
            raise AttentropyError(
                f"a pass begins at token {start}, within a tile of the map; passes of a multiple "
                f"of {tall} tokens, or another map tile, would do"
            )
        heads = here.query.shape[1] if self.map_per_head else 1
        keys, dropped = here.seen.mask.keys, here.seen.first_key
        step = tall * max(1, _ALIVE_BYTES // (4 * heads * keys))
        bands = []
        for first in range(0, stop - start, step):
            part = here.part(first, min(stop - start, first + step))
            queries = part.seen.queries
            means = attention_map(
                part.query, part.key, part.lse, tile=(tall, 1),
                heads="all" if self.map_per_head else "mean", **part.where,
            )[0]  # [heads, tiles, keys]  # fmt: skip
            if self._received is not None:
                counts = torch.full((means.shape[1], 1), float(tall), device=means.device)
                counts[-1] = queries - tall * (means.shape[1] - 1)
                column = (means.mean(0) * counts).sum(0).cpu().double().numpy()
                self._received[entry, dropped : dropped + keys] += column
            if self.tile is not None:
                before = dropped % wide
                after = -(before + keys) % wide
                whole = torch.nn.functional.pad(means, (before, after))
                bands.append(whole.unflatten(-1, (-1, wide)).sum(-1).float().cpu().numpy())
        if self.tile is None:
            return {}
        found = np.concatenate(bands, 1)
        values = np.zeros((heads, found.shape[1], -(-self.tokens // wide)), np.float32)
        left = dropped // wide
        values[:, :, left : left + found.shape[2]] = found
        return {"map": (start // tall, values)}


def _rectangle(asked: Rectangle, here: _Pass) -> dict[str, tuple[int, np.ndarray]]:
    """The rows of a rectangle that a pass holds; keys that it does not have weigh nothing."""
    start, stop = here.rows
    first, last = max(asked.rows[0], start), min(asked.rows[1], stop)
    if last <= first:
        return {}
    dropped = here.seen.first_key
    low, high = max(asked.keys[0], dropped), min(asked.keys[1], dropped + here.seen.mask.keys)
    heads = here.query.shape[1] if asked.per_head else 1
    blank = np.zeros((heads, last - first, asked.keys[1] - asked.keys[0]), np.float32)
    found: tuple[np.ndarray | None, ...] = (None, None)
    if high > low:
        found = exact_weights(
            here.query, here.key, here.lse, (first - start, last - start),
            (low - dropped, high - dropped), here.where, per_head=asked.per_head,
            shares=asked.shares,
        )  # fmt: skip
    names = [asked.name]
    if asked.shares and not asked.per_head:
        names.append("window_entropy")
    done = {}
    for name, part in zip(names, found, strict=False):
        values = blank.copy()
        if part is not None:
            values[:, :, low - asked.keys[0] : high - asked.keys[0]] = part
        done[name] = (first - asked.rows[0], values)
    return done


def _heads(count: int | None) -> np.ndarray:
    return np.array([-1]) if count is None else np.arange(count)
