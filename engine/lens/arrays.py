"""Write the lens's values and the rehearsal of the answer into the trace, chunk after chunk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.lens.budget import REHEARSED_POSITIONS, TRANSLATED, latest_positions
from attentropy.engine.lens.lens import read_layers
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.lens.plan import FINAL, LensPlan
from attentropy.engine.lens.points import States
from attentropy.engine.lens.rehearsal import Rehearsal, rehearse
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.trace.finished_chunks import vocabulary_of
from attentropy.engine.trace.layout import ArrayLayout, array_layout
from attentropy.engine.trace.sinks import Sink
from attentropy.engine.trace.text import text_array
from attentropy.kernels.ops import VocabularyResult

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Variable of the trace -> field of the lens's result.
LENS_FIELDS = {
    "lens_entropy": "entropy",
    "lens_kl": "kl",
    "lens_top_ids": "top_ids",
    "lens_top_logprobs": "top_logprobs",
    "lens_target_logprob": "target_logprob",
    "lens_rank": "target_rank",
}
# Of the token that the model itself predicts next at each position.
_OF_TARGETS = ("lens_target_logprob", "lens_rank")
_REHEARSAL = {
    "rehearsal": "logprob", "rehearsal_ids": "ids", "rehearsal_rank": "rank",
    "rehearsal_placebo": "placebo",
}  # fmt: skip


class LensArrays:
    """Reads the states of one chunk after the other into a sink.

    entries: the index of each layer along the trace's `layer`; a layer that calls attention several
    times has its lens at its first call. tokenizer: without one, vocabulary entries are named by
    their numbers. room: how many tokens of an answer may follow those of `text`. is_causal: whether
    the model predicts the next token; without it there are no targets and no rehearsal. What is not
    read stays NaN, or −1 in integers. Until the answer is generated, only the residuals of the
    rehearsed positions are kept, on the host.
    """

    def __init__(
        self,
        reading: LensPlan,
        text: Prompt,
        tokenizer: PreTrainedTokenizerBase | None,
        entries: Mapping[int, int],
        top_k: int,
        room: int = 0,
        *,
        is_causal: bool = True,
    ) -> None:
        self.length = len(text.ids) + room
        self.reading = reading
        self.is_causal = is_causal
        self._fields = {
            name: field
            for name, field in LENS_FIELDS.items()
            if is_causal or name not in _OF_TARGETS
        }
        self.text = text
        self.tokenizer = tokenizer
        self.entries = entries
        self.top_k = top_k
        self.vocabulary: dict[int, str] = {}
        self._target_ids = np.full(self.length, -1, np.int32)
        latest = latest_positions(text.roles, REHEARSED_POSITIONS) if is_causal else []
        self._rehearsed = np.array(sorted(set(latest) & set(reading.positions)), np.int64)
        self._residuals: dict[tuple[str, int], list[Tensor]] = {}

    def fields(self, layers: int, step: int, storage: str) -> dict[str, ArrayLayout]:
        """Return the arrays of a trace with `layers` entries, positions stored by `step`."""
        n, dims = self.length, ("site", "layer", "position", "k")
        fields = {}
        for name in (*self._fields, *(_REHEARSAL if self.is_causal else ())):
            last = (self.top_k,) if "_top_" in name else ()
            shape = (len(self.reading.sites), layers, n, *last)
            fields[name] = array_layout(name, dims[: len(shape)], shape, step, storage)
        if self.is_causal:
            fields["target_ids"] = array_layout("target_ids", ("position",), (n,), step, storage)
        return fields

    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return the coordinates of these arrays."""
        return {"site": ("site", text_array(self.reading.sites))}

    def read(
        self, sink: Sink, states: States, start: int, stop: int, gauge: Gauge,
        progress: Callable[[int], None],
    ) -> tuple[dict[str, Tensor], dict[str, str]]:  # fmt: skip
        """Read the lens at the tokens start … stop−1 and write its values into `sink`.

        progress: called with the number of layers read so far, now and then. gauge: measures
        the parts "lens" and "writing". Returns the tensors and facts from which `restore` continues
        without the states.
        """
        positions = self.reading.positions_within(start, stop)
        if not positions:
            return {}, {}
        rows = np.array(positions) - start
        final = states[FINAL][-1]
        assert final is not None
        predicted = None
        if self.is_causal:
            predicted = self._read_targets(sink, final, rows, start, stop, gauge)
        target_ids = self._target_ids[start:stop]
        tensors = {"target_ids": torch.from_numpy(target_ids.copy())}
        token_ids = {*target_ids[rows].tolist()} if self.is_causal else set()
        rehearsed = torch.from_numpy(np.flatnonzero(np.isin(rows + start, self._rehearsed)))
        for s, site in enumerate(self.reading.sites):
            cells = [
                (layer, reader, state)
                for layer in self.reading.layers
                if (reader := self.reading.reader(site, layer)) is not None
                and (state := self.reading.state(states, site, layer)) is not None
            ]
            show = partial(_show_after, progress, s * len(self.reading.layers))
            with gauge.within("lens", tuple(layer for layer, *_ in cells)):
                results = read_layers(
                    [reader for _, reader, _ in cells], [state for *_, state in cells],
                    top_k=self.top_k, targets=predicted, final=final,
                    progress=show,
                )  # fmt: skip
            for (layer, _, state), result in zip(cells, results, strict=True):
                with gauge.within("writing", layer):
                    self._write(sink, (s, self.entries[layer]), result, rows, start, stop)
                    token_ids.update(result.top_ids.unique().tolist())
                    if len(rehearsed) and site != TRANSLATED:
                        residual = state[rehearsed.to(state.device)].cpu()
                        self._residuals.setdefault((site, layer), []).append(residual)
                        tensors[f"{site}.{layer}"] = residual
        with gauge.within("writing"):
            return tensors, {"vocabulary": json.dumps(self._add_to_vocabulary(token_ids))}

    def _read_targets(
        self, sink: Sink, final: Tensor, rows: np.ndarray, start: int, stop: int, gauge: Gauge
    ) -> Tensor:
        """Return the tokens that the model predicts at the rows, and write them as targets."""
        last = len(self.reading.points[FINAL]) - 1
        with gauge.within("lens", last):
            predicted = self.reading.lens.read(final, top_k=1).top_ids[:, 0]
            target_ids = predicted.cpu().numpy()
        self._target_ids[start + rows] = target_ids
        with gauge.within("writing", last):
            sink.put("target_ids", (slice(start, stop),), self._target_ids[start:stop].copy())
        return predicted

    def _write(
        self, sink: Sink, entry: tuple[int, int], result: VocabularyResult, rows: np.ndarray,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write one layer's values at `rows` of the chunk; entry: (site, layer) in the trace."""
        for name, attribute in self._fields.items():
            values = getattr(result, attribute)
            chunk = _spread(values, rows, stop - start, sink.fields[name].fill)
            sink.put(name, (*entry, slice(start, stop)), chunk)

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, str], start: int) -> None:
        """Take over what `read` returned for the chunk that begins at `start`."""
        for site in self.reading.sites:
            for layer in self.reading.layers:
                if (residual := tensors.get(f"{site}.{layer}")) is not None:
                    self._residuals.setdefault((site, layer), []).append(residual)
        if "target_ids" in tensors:
            ids = tensors["target_ids"].numpy()
            self._target_ids[start : start + len(ids)] = ids
        self.vocabulary |= vocabulary_of(facts)

    def rehearse(
        self, sink: Sink, answer: Sequence[int], step: int, placebo: PlaceboStates | None = None
    ) -> None:
        """Look for the answer's tokens that count in the residuals that were kept.

        step: how many positions a stored chunk has. placebo: what tells whether other questions
        give them too.
        """
        at = self._rehearsed
        if not at.size:
            return
        own = np.array(_own_tokens(self.text, self._target_ids[: len(self.text.ids)].tolist()))[at]
        for s, site in enumerate(self.reading.sites):
            layers = [layer for layer in self.reading.layers if (site, layer) in self._residuals]
            if not layers:  # a translated lens predicts the next token, no later one
                continue
            residuals = [torch.cat(self._residuals[site, layer]) for layer in layers]
            rehearsal = rehearse(
                self.reading.lens, residuals, range(at.size), at.size, answer, own.tolist()
            )
            if placebo is not None:
                self._compare(rehearsal, placebo, site, layers)
            self._add_to_vocabulary(set(rehearsal.ids[rehearsal.ids >= 0].tolist()))
            entries = [(s, self.entries[layer]) for layer in layers]
            for start in range(0, len(self.text.ids), step):
                stop = min(len(self.text.ids), start + step)
                self._write_rehearsal(sink, entries, rehearsal, start, stop)

    def _compare(
        self, rehearsal: Rehearsal, placebo: PlaceboStates, site: str, layers: Sequence[int]
    ) -> None:
        """Add what the placebo questions give the tokens at the prompt's last positions."""
        ends = self._rehearsed - (len(self.text.ids) - placebo.shared)
        columns = np.flatnonzero(ends >= 0)
        ids = np.full((len(layers), placebo.shared), -1, np.int64)
        ids[:, ends[columns]] = rehearsal.ids[:, columns]
        values = placebo.greatest(self.reading.lens, site, layers, ids)
        rehearsal.placebo[:, columns] = values[:, ends[columns]]

    def _write_rehearsal(
        self, sink: Sink, entries: Sequence[tuple[int, int]], rehearsal: Rehearsal,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Write what was measured at the positions start … stop−1, if it was anywhere."""
        at = self._rehearsed
        here = np.flatnonzero((at >= start) & (at < stop))
        if not here.size:
            return
        for name, attribute in _REHEARSAL.items():
            values = getattr(rehearsal, attribute)
            for row, entry in enumerate(entries):
                part = torch.from_numpy(values[row, here])
                chunk = _spread(part, at[here] - start, stop - start, sink.fields[name].fill)
                sink.put(name, (*entry, slice(start, stop)), chunk)

    def _add_to_vocabulary(self, ids: set[int]) -> dict[int, str]:
        """Add the texts of vocabulary entries, and return those that are new."""
        new = sorted(ids - set(self.vocabulary))
        if self.tokenizer is None:
            texts = {token: f"[{token}]" for token in new}
        else:
            texts = dict(zip(new, map(str, vocabulary_text(self.tokenizer, new)), strict=True))
        self.vocabulary |= texts
        return texts


def _show_after(progress: Callable[[int], None], earlier: int, count: int) -> None:
    progress(earlier + count)


def _spread(values: Tensor, rows: np.ndarray, length: int, fill: float) -> Tensor:
    """Return a chunk of `length` positions with `values` at `rows` and `fill` elsewhere."""
    if len(rows) == length:
        return values
    chunk = values.new_full((length, *values.shape[1:]), fill)
    chunk[torch.from_numpy(rows).to(values.device)] = values
    return chunk


def _own_tokens(text: Prompt, predicted: Sequence[int]) -> list[int]:
    """Return the token that each position itself has to predict, which is no rehearsal there.

    Within the template that is the template's own next token: no answer ever contains what the lens
    reads there instead (chat models are trained on the answers, not on their template).
    """
    tokens = list(predicted)
    for i in range(len(tokens) - 1):
        if text.roles[i] not in ("content", "reasoning"):
            tokens[i] = text.ids[i + 1]
    return tokens
