"""Read the logit lens at the rows that a recording's passes compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.probe import MODEL_ERRORS
from attentropy.engine.attention.selfcheck import check_model, probe_ids
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.arrays import LENS_FIELDS
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.lens import Lens, read_layers
from attentropy.engine.lens.plan import FINAL, Translate, site_points, sites_read, source_of
from attentropy.engine.lens.points import Point, Points, States, capture_states
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.record.token_ids import image_ids
from attentropy.engine.trace.text import text_array

TOP_K = 5
# So many rows are read at once when tokens are generated, and their states kept until then.
_WAITING_ROWS = 64

Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
# The lens's values of one sequence's rows by variable, [sites, layers, rows] or [..., rows, k].
Values = Mapping[str, np.ndarray]


@dataclass(eq=False)
class LensRows:
    """The lens's values at the rows of one sequence, pass by pass, and what it predicts there."""

    values: list[Values] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)


@dataclass
class _Pass:
    """The captured states of one pass, which of their rows are tokens, and where the values go.

    rows: None for all. to: each sequence's values, and how many of the tokens are its own.
    """

    states: States
    rows: Tensor | None
    to: list[tuple[LensRows, int]]

    def state(self, site: str, layer: int) -> Tensor | None:
        """Return one layer's state at the tokens, None where the layer has none."""
        state = self.states[site][layer]
        if state is None or self.rows is None:
            return state
        return state[self.rows.to(state.device)]

    def of_tokens(self) -> _Pass:
        """Return this pass with copies of the states at the tokens alone."""
        states = {
            site: [self.state(site, layer) for layer in range(len(own))]
            for site, own in self.states.items()
        }
        return _Pass(states, None, self.to)

    @property
    def layers(self) -> dict[str, list[bool]]:
        """Which layers have a state, by site."""
        return {site: [s is not None for s in states] for site, states in self.states.items()}


class RecordedLens:
    """A lens with the `points` at which it reads each site and layer, and the latest states.

    Reading costs hardly more for many rows than for one, so the passes of generated tokens wait
    until there are some. final: the last decoder layer, from whose output each row's prediction is
    read. translated: the lenses that read the residuals a second time, by layer.
    """

    def __init__(
        self,
        lens: Lens,
        points: Mapping[str, Points],
        final: nn.Module,
        translated: Mapping[int, Lens] | None = None,
    ) -> None:
        self.lens = lens
        self.translated = translated or {}
        self.sites = sites_read(list(points), self.translated)
        self.points = {**points, FINAL: [Point(final)]}
        self._states: States = {}
        self._waiting: list[_Pass] = []
        self._waiting_rows = 0

    @contextmanager
    def over(self) -> Iterator[None]:
        """Capture the states of the passes that are made while this is open."""
        with capture_states(self.points) as self._states:
            yield
        self._states = {}

    def take(
        self, spans: Sequence[tuple[int, int, int]], queries: int, to: Sequence[LensRows]
    ) -> None:
        """Take the latest pass, whose values go `to` each sequence of its batch, now or later.

        spans: the rows of each sequence that are tokens, see `Batch.spans`. queries: the rows of
        the pass.
        """
        rows = torch.cat([
            torch.arange(first, stop) + sequence * queries
            for sequence, (first, stop, _) in enumerate(spans)
        ])  # fmt: skip
        states = {site: list(own) for site, own in self._states.items()}
        for own in self._states.values():  # in place: the hooks write into these lists
            own[:] = [None] * len(own)
        if states[FINAL][-1] is None or not len(rows):
            return
        counts = [stop - first for first, stop, _ in spans]
        latest = _Pass(states, rows, list(zip(to, counts, strict=True)))
        is_short = len(rows) < _WAITING_ROWS
        if not is_short or (self._waiting and self._waiting[0].layers != latest.layers):
            self.flush()
        self._waiting.append(latest.of_tokens() if is_short else latest)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= _WAITING_ROWS:
            self.flush()

    def flush(self) -> None:
        """Read the passes that wait."""
        passes, self._waiting, self._waiting_rows = self._waiting, [], 0
        if not passes:
            return
        final = self._gathered(passes, FINAL, -1)
        assert final is not None
        targets = self.lens.read(final, top_k=1).top_ids[:, 0]
        values: dict[str, list[list[np.ndarray]]] = {name: [] for name in LENS_FIELDS}
        for site in self.sites:
            source = source_of(site)
            states = [
                self._gathered(passes, source, layer) for layer in range(len(self.points[source]))
            ]
            readers = [self._reader(site, layer) for layer in range(len(states))]
            results = _read_states(readers, states, targets, final)
            for name in LENS_FIELDS:
                values[name].append([result[name] for result in results])
        arrays = {name: np.array(sites) for name, sites in values.items()}
        all_targets = targets.cpu().numpy()
        at = 0
        for rows, group in groupby((part for one in passes for part in one.to), lambda p: p[0]):
            here = slice(at, at + sum(count for _, count in group))
            at = here.stop
            rows.values.append({name: array[:, :, here] for name, array in arrays.items()})
            rows.targets.append(all_targets[here])

    def _reader(self, site: str, layer: int) -> Lens | None:
        return self.lens if source_of(site) == site else self.translated.get(layer)

    def _gathered(self, passes: Sequence[_Pass], site: str, layer: int) -> Tensor | None:
        """Return one layer's state at the tokens of all passes, None where the layer has none."""
        states = [state for one in passes if (state := one.state(site, layer)) is not None]
        return (states[0] if len(states) == 1 else torch.cat(states)) if states else None


def _read_states(
    readers: Sequence[Lens | None],
    states: Sequence[Tensor | None],
    targets: Tensor,
    final: Tensor,
) -> list[dict[str, np.ndarray]]:
    """Return each layer's values at the rows; what a site lacks in a layer is missing."""
    cells = [
        (layer, reader, state)
        for layer, (reader, state) in enumerate(zip(readers, states, strict=True))
        if reader is not None and state is not None
    ]
    results = read_layers(
        [reader for _, reader, _ in cells], [state for *_, state in cells],
        top_k=TOP_K, targets=targets, final=final,
    )  # fmt: skip
    count = len(targets)
    values = [
        {
            name: np.full((count, TOP_K) if "_top_" in name else count, fill)
            for name, fill in _FILLS.items()
        }
        for _ in states
    ]
    for (layer, *_), result in zip(cells, results, strict=True):
        values[layer] = {
            name: getattr(result, part).cpu().numpy() for name, part in LENS_FIELDS.items()
        }
    return values


_FILLS: dict[str, Any] = {
    name: np.int32(-1) if name in ("lens_top_ids", "lens_rank") else np.float32(np.nan)
    for name in LENS_FIELDS
}


def plan_recorded_lens(
    model: PreTrainedModel,
    reader: PreTrainedModel,
    sites: Sequence[str],
    translate: Translate | None = None,
) -> tuple[RecordedLens | None, list[str]]:
    """Return the lens of `model`, whose tokens `reader` reads; None, with the reason noted.

    The model makes a few short passes for it. translate: makes the lenses of the site "translated",
    None for none.
    """
    notes: list[str] = []
    if not sites:
        return None, notes
    try:
        if not check_model(reader).is_causal:
            raise LensRefused(f"{type(model).__name__} does not predict next tokens")
        ids = _text_ids(model, reader)
        lens = find_lens(model, ids)
        points = site_points(model, ids, sites, None, notes)
    except LensRefused as error:
        return None, [f"no lens: {error}"]
    except MODEL_ERRORS as error:
        return None, [
            f"no lens: {type(model).__name__} does not run on token ids alone "
            f"({type(error).__name__})"
        ]
    if not points:
        return None, notes
    layers = decoder_layers(model)
    translated = translate(lens, len(layers)) if translate is not None else {}
    return RecordedLens(lens, points, layers[-1], translated), notes


def _text_ids(model: PreTrainedModel, reader: PreTrainedModel) -> Tensor:
    """Return the probe's ids without those that stand for images."""
    ids = probe_ids(reader)
    for token in image_ids(model.config):
        ids[ids == token] = 0
    return ids


def lens_arrays(
    sites: Sequence[str], rows: LensRows, entries: Sequence[int | None], tokenizer: Any
) -> Arrays:
    """Return the arrays of one sequence's trace.

    entries: for each of the trace's layers the decoder layer whose lens stands there, None where
    none does. tokenizer: names the vocabulary's entries, None for their numbers.
    """
    dims = ("site", "layer", "position", "k")
    arrays: Arrays = {}
    for name, fill in _FILLS.items():
        values = np.concatenate([part[name] for part in rows.values], 2)
        placed = np.full((len(sites), len(entries), *values.shape[2:]), fill)
        for i, layer in enumerate(entries):
            if layer is not None:
                placed[:, i] = values[:, layer]
        arrays[name] = (dims[: placed.ndim], placed)
    targets = np.concatenate(rows.targets).astype(np.int32)
    ids = sorted(
        {*np.unique(targets).tolist(), *np.unique(arrays["lens_top_ids"][1]).tolist()} - {-1}
    )
    texts = [f"[{i}]" for i in ids] if tokenizer is None else vocabulary_text(tokenizer, ids)
    return arrays | {
        "target_ids": (("position",), targets),
        "site": (("site",), text_array(list(sites))),
        "vocabulary_ids": (("vocabulary",), np.array(ids, np.int32)),
        "vocabulary_text": (("vocabulary",), text_array(texts)),
    }
