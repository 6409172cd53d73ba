"""Read the logit lens at the rows that a recording's passes compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from attentropy.engine.lens.lens import Lens
from attentropy.engine.lens.plan import FINAL, site_points
from attentropy.engine.lens.points import Point, Points, States, capture_states
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.record.token_ids import image_ids
from attentropy.engine.trace.text import text_array

TOP_K = 5

Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
# The lens's values of one sequence's rows by variable, [sites, layers, rows] or [..., rows, k].
Values = Mapping[str, np.ndarray]


@dataclass
class LensRows:
    """The lens's values at the rows of one sequence, pass by pass, and what it predicts there."""

    values: list[Values] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)


class RecordedLens:
    """A lens with the `points` at which it reads each site and layer, and the latest states.

    final: the last decoder layer, from whose output each row's prediction is read.
    """

    def __init__(self, lens: Lens, points: Mapping[str, Points], final: nn.Module) -> None:
        self.lens = lens
        self.sites = list(points)
        self.points = {**points, FINAL: [Point(final)]}
        self._states: States = {}

    @contextmanager
    def over(self) -> Iterator[None]:
        """Capture the states of the passes that are made while this is open."""
        with capture_states(self.points) as self._states:
            yield
        self._states = {}

    def read(self, spans: Sequence[tuple[int, int, int]], queries: int) -> list[LensRows]:
        """Return the values of the latest pass, for each sequence of its batch.

        spans: the rows of each sequence that are tokens, see `Batch.spans`. queries: the rows of
        the pass.
        """
        rows = torch.cat([
            torch.arange(first, stop) + sequence * queries
            for sequence, (first, stop, _) in enumerate(spans)
        ])  # fmt: skip
        read = [LensRows() for _ in spans]
        final = self._states[FINAL][-1]
        if final is None or not len(rows):
            return read
        final = final[rows.to(final.device)]
        targets = self.lens.read(final, top_k=1).top_ids[:, 0]
        values: dict[str, list[list[np.ndarray]]] = {name: [] for name in LENS_FIELDS}
        for site in self.sites:
            results = [
                self._read_state(state, rows, targets, final) for state in self._states[site]
            ]
            for name in LENS_FIELDS:
                values[name].append([result[name] for result in results])
        for states in self._states.values():  # in place: the hooks write into these lists
            states[:] = [None] * len(states)
        arrays = {name: np.array(sites) for name, sites in values.items()}
        at = 0
        for one, (first, stop, _) in zip(read, spans, strict=True):
            here = slice(at, at + stop - first)
            at = here.stop
            one.values.append({name: array[:, :, here] for name, array in arrays.items()})
            one.targets.append(targets[here].cpu().numpy())
        return read

    def _read_state(
        self, state: Tensor | None, rows: Tensor, targets: Tensor, final: Tensor
    ) -> dict[str, np.ndarray]:
        """Return one layer's values at the rows; what a site lacks in this layer is missing."""
        if state is None:
            missing = {
                name: np.full((len(rows), TOP_K) if "_top_" in name else len(rows), fill)
                for name, fill in _FILLS.items()
            }
            return missing
        state = state[rows.to(state.device)]
        result = self.lens.read(state, top_k=TOP_K, targets=targets, final=final)
        return {name: getattr(result, part).cpu().numpy() for name, part in LENS_FIELDS.items()}


_FILLS: dict[str, Any] = {
    name: np.int32(-1) if name in ("lens_top_ids", "lens_rank") else np.float32(np.nan)
    for name in LENS_FIELDS
}


def plan_recorded_lens(
    model: PreTrainedModel, reader: PreTrainedModel, sites: Sequence[str]
) -> tuple[RecordedLens | None, list[str]]:
    """Return the lens of `model`, whose tokens `reader` reads; None, with the reason noted.

    The model makes a few short passes for it.
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
    return RecordedLens(lens, points, decoder_layers(model)[-1]), notes


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
