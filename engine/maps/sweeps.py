"""Follow a sequence for what is kept besides its statistics: map, thumbnails, windows, scores.

Rows that are complete are returned at once; what is only known at the end (column sums, means over
all queries) is a few numbers per key and head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.weights import exact_weights
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.answer_sums import AnswerSums
from attentropy.engine.maps.column_bands import column_bands
from attentropy.engine.maps.context_sums import ContextSums
from attentropy.engine.maps.head_sums import HeadSums
from attentropy.engine.maps.hidden_sinks import HiddenSinks
from attentropy.engine.maps.thumbnails import ThumbnailSums, add_rows, sweep_height
from attentropy.engine.maps.windows import Rectangle, Tile

Layout = dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
Results = dict[str, tuple[tuple[str, ...], np.ndarray]]


class Sweeps:
    """What is kept of one sequence of `tokens` tokens, whose attention calls `on_attention` takes.

    Where an `answer` follows these, the heads' scores over its tokens are kept, apart from those
    over the `tokens`, and what its tokens attend to; map, received, thumbnails and windows are of
    the `tokens` alone.

    heads: those of each entry (one attention call of one layer, in the trace's order), 0 for one
    that has none; everything is NaN in an entry that no call comes for. tile: the map's (queries,
    keys), None for no map; its heads are averaged unless `map_per_head`. received: whether the
    column sums are kept. thumbnails: takes the heads' pictures from the same sweep. sinks: hides
    the sink keys that these sums show. context: takes how far back the heads attend, by a sweep of
    its own. induction: scores [entries, heads] measured elsewhere, see
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
        answer: bool = False,
        induction: np.ndarray | None = None,
        sinks: HiddenSinks | None = None,
        thumbnails: ThumbnailSums | None = None,
        context: ContextSums | None = None,
    ) -> None:
        self.tokens = tokens
        self.heads = tuple(heads)
        self.tile = tile
        self.map_per_head = map_per_head
        self.rectangles = tuple(rectangles)
        self.induction = induction
        self.thumbnails = thumbnails
        self.context = context
        self.sinks = sinks if received else None
        self._received = np.zeros((len(self.heads), tokens)) if received else None
        self._scores = HeadSums(self.heads) if scores else None
        self._answer_scores = HeadSums(self.heads) if scores and answer else None
        self._answer_sums = AnswerSums(self.heads, tokens) if received and answer else None

    def layout(self) -> Layout:
        """Return the variables that grow row by row, NaN until written: name → (dims, shape)."""
        entries, largest = len(self.heads), max(self.heads, default=0)
        variables: Layout = {}
        if self.tile is not None:
            sides = (-(-self.tokens // side) for side in self.tile)
            shape = (entries, largest if self.map_per_head else 1, *sides)
            variables["map"] = (("layer", "map_head", "map_query", "map_key"), shape)
        for r in self.rectangles:
            axes = (f"window_{axis}{r.suffix}" for axis in ("head", "query", "key"))
            sides = (stop - start for start, stop in (r.rows, r.keys))
            shape = (entries, largest if r.per_head else 1, *sides)
            variables[r.name] = (("layer", *axes), shape)
            if r.shares and not r.per_head:
                variables["window_entropy"] = variables[r.name]
        return variables

    def coordinates(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return the coordinates of all variables; a head of −1 is the mean over heads."""
        largest = max(self.heads, default=0)
        variables = {}
        if self.tile is not None:
            variables["map_head"] = _heads(largest if self.map_per_head else None)
            variables["map_query"] = np.arange(0, self.tokens, self.tile[0])
            variables["map_key"] = np.arange(0, self.tokens, self.tile[1])
        for r in self.rectangles:
            variables[f"window_head{r.suffix}"] = _heads(largest if r.per_head else None)
            variables[f"window_query{r.suffix}"] = np.arange(*r.rows)
            variables[f"window_key{r.suffix}"] = np.arange(*r.keys)
        if self._received is not None:
            variables["received_head"] = _heads(None)
        if self._answer_sums is not None:
            variables["answer_head"] = _heads(largest if self._answer_sums.per_head else None)
        if self._scores is not None:
            variables["score_head"] = _heads(largest)
        variables |= {} if self.thumbnails is None else self.thumbnails.coordinates()
        variables |= {} if self.context is None else self.context.coordinates()
        return {name: (name, values.astype(np.int32)) for name, values in variables.items()}

    def on_attention(self, entry: int, call: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
        """Return the rows that this pass completes: name → (first row, values [heads, rows, keys]).

        Scores are taken from its entropy, where that is recorded. Padding is left out, and so is
        what comes after the `tokens`. Raises `AttentropyError` where a pass begins within a tile of
        the map.
        """
        answer = call.of_tokens(self.tokens, None)
        if answer is not None:
            if self._answer_scores is not None:
                self._answer_scores.add(entry, answer)
            if self._answer_sums is not None:
                self._answer_sums.add(entry, answer)
        here = call.of_tokens(0, self.tokens)
        if here is None:
            return {} if answer is None else self._without_sinks(entry, answer)
        rows: dict[str, tuple[int, np.ndarray]] = {}
        if not (self.tile is None and self._received is None and self.thumbnails is None):
            rows |= self._sums_of_columns(entry, here)
        for rectangle in self.rectangles:
            rows |= _rectangle(rectangle, here)
        if self._scores is not None:
            self._scores.add(entry, here)
        if self.context is not None:
            self.context.add(entry, here)
        if self.sinks is not None and self._received is not None:
            self.sinks.update(entry, here, self._received[entry])
        whole = call.of_tokens(0, None)
        return rows if whole is None else rows | self._without_sinks(entry, whole)

    def _without_sinks(self, entry: int, call: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
        return {} if self.sinks is None else self.sinks.rows(entry, call)

    def finished(self) -> Results:
        """Return what is known at the end: name → (dimensions, float32 values).

        Σ_i p_ij of each key as the mean over heads, what the answer attends to, and the heads'
        scores; NaN where nothing was measured.
        """
        results: Results = {}
        if self._received is not None:
            has_calls = (
                self._received.sum(1)[:, None, None] > 0
            )  # each query gives its mass to a key
            values = np.where(has_calls, self._received[:, None], np.nan).astype(np.float32)
            results["received"] = (("layer", "received_head", "position"), values)
            if self.sinks is not None:
                keys = np.where(has_calls[:, 0], self.sinks.is_sink, -1).astype(np.int32)
                results["sink_keys"] = (("layer", "position"), keys)
        if self.thumbnails is not None:
            dims = ("layer", "head", "tile_q", "tile_k")
            results["thumbnail"] = (dims, self.thumbnails.values())
        results |= {} if self.context is None else self.context.results()
        if self._answer_sums is not None:
            means = self._answer_sums.means()
            results["answer_attention"] = (("layer", "answer_head", "position"), means)
        if self._scores is not None:
            results |= _named(self._scores.scores())
            if self._answer_scores is not None:
                results |= _named(self._answer_scores.scores(), "answer_")
            if self.induction is not None:
                results["head_induction"] = (("layer", "score_head"), self.induction)
        return results

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of the sums so far, to be saved and given to `restore`."""
        results = {} if self._received is None else {"received": self._received.copy()}
        results |= {} if self._scores is None else self._scores.state()
        results |= {} if self.sinks is None else {"sink_keys": self.sinks.is_sink.copy()}
        results |= {} if self.thumbnails is None else self.thumbnails.state()
        results |= {} if self.context is None else self.context.state()
        answer = {} if self._answer_scores is None else self._answer_scores.state()
        answer |= {} if self._answer_sums is None else self._answer_sums.state()
        return results | {f"answer_{name}": values for name, values in answer.items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what `state` returned, as if this had followed its passes."""
        if self._received is not None:
            self._received[...] = state["received"]
        if self.sinks is not None:
            self.sinks.restore(state["sink_keys"])
        if self.thumbnails is not None:
            self.thumbnails.restore(state)
        if self.context is not None:
            self.context.restore(state)
        if self._scores is not None:
            self._scores.restore(state)
        prefix = "answer_"
        answer = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if self._answer_scores is not None:
            self._answer_scores.restore(answer)
        if self._answer_sums is not None:
            self._answer_sums.restore(answer)

    def _sums_of_columns(self, entry: int, here: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
        """Return the map's rows, and add to the column sums and the thumbnails, by one sweep.

        Rows as tall as all of them need, one key wide, have all three.

        Sums over few queries in float32, of many keys' masses in float64 on the host.
        """
        start, stop = here.rows
        tall, wide = self.tile or (self.tokens, 1)
        if self.tile is not None and start % tall:
            raise AttentropyError(
                f"a pass starts at token {start}, inside a tile of the attention map; use passes "
                "of a "
                f"multiple of {tall} tokens, or another `map_tile`"
            )
        heads = here.query.shape[1] if self.map_per_head else 1
        first_row, end_row = start // tall, -(-stop // tall)
        rows = np.zeros((heads, end_row - first_row, -(-self.tokens // wide)), np.float32)
        pictures = self.thumbnails
        head_list = [] if pictures is None else pictures.heads_of(here.query.shape[1])
        side = None if pictures is None else pictures.side
        height = sweep_height(self.tile and tall, side, self.tokens)
        for band in column_bands(here, height, per_head=self.map_per_head or bool(head_list)):
            mean = band.masses.mean(0, keepdim=True)
            if self._received is not None:
                keys = slice(band.first_key, band.first_key + mean.shape[2])
                self._received[entry, keys] += mean[0].sum(0).cpu().double().numpy()
            if self.tile is not None:
                tiles = band.in_tiles(band.masses if self.map_per_head else mean, wide)
                add_rows(rows, band.queries // tall - first_row, tiles)
            if pictures is not None:
                masses = band.masses[head_list] if pictures.head_list is not None else mean
                pictures.add(entry, band.queries, band.in_tiles(masses, pictures.side))
        if self.tile is None:
            return {}
        ends = np.minimum(np.arange(first_row + 1, end_row + 1) * tall, stop)
        counts = ends - np.arange(first_row, end_row) * tall
        return {"map": (first_row, (rows / counts[:, None]).astype(np.float32))}


def _named(scores: dict[str, np.ndarray], of: str = "") -> Results:
    """Return scores as variables: head_sink, or head_answer_sink with `of` "answer_"."""
    results: Results = {}
    for name, values in scores.items():
        kind, _, score = name.partition("_")
        dims = ("layer", "score_head") if kind == "head" else ("layer",)
        results[f"{kind}_{of}{score}"] = (dims, values)
    return results


def _rectangle(rectangle: Rectangle, here: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
    """Return the rows of a rectangle that a pass has; keys that it does not have weigh nothing."""
    start, stop = here.rows
    first, last = max(rectangle.rows[0], start), min(rectangle.rows[1], stop)
    if last <= first:
        return {}
    dropped = here.visibility.first_key
    low, high = (
        max(rectangle.keys[0], dropped),
        min(rectangle.keys[1], dropped + here.visibility.mask.keys),
    )
    heads = here.query.shape[1] if rectangle.per_head else 1
    blank = np.zeros((heads, last - first, rectangle.keys[1] - rectangle.keys[0]), np.float32)
    parts: tuple[np.ndarray | None, ...] = (None, None)
    if high > low:
        parts = exact_weights(
            here.query, here.key, here.lse, (first - start, last - start),
            (low - dropped, high - dropped), here.where, per_head=rectangle.per_head,
            shares=rectangle.shares,
        )  # fmt: skip
    names = [rectangle.name]
    if rectangle.shares and not rectangle.per_head:
        names.append("window_entropy")
    rows = {}
    for name, part in zip(names, parts, strict=False):
        values = blank.copy()
        if part is not None:
            values[:, :, low - rectangle.keys[0] : high - rectangle.keys[0]] = part
        rows[name] = (first - rectangle.rows[0], values)
    return rows


def _heads(count: int | None) -> np.ndarray:
    return np.array([-1]) if count is None else np.arange(count)
