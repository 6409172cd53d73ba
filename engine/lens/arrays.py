"""The lens of each chunk's states, read when its pass is done, and the rehearsal of the answer, as
the trace's arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.lens.budget import REHEARSED_POSITIONS, tail_first
from attentropy.engine.lens.plan import FINAL, Reading
from attentropy.engine.lens.rehearsal import rehearse
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.trace.layout import Field, field
from attentropy.engine.trace.sinks import Sink
from attentropy.engine.trace.text import text_array

# Variable of the trace -> field of the lens's result.
_FIELDS = {
    "lens_entropy": "entropy",
    "lens_kl": "kl",
    "lens_top_ids": "top_ids",
    "lens_top_logprobs": "top_logprobs",
    "lens_target_logprob": "target_logprob",
    "lens_rank": "target_rank",
}
_REHEARSAL = {"rehearsal": "logprob", "rehearsal_ids": "ids", "rehearsal_rank": "rank"}

States = Mapping[str, Sequence[Tensor | None]]


class LensArrays:
    """Reads the states of one chunk after the other into a sink.

    entries: where each layer is along the trace's `layer`; a layer that calls attention several
    times has its lens beside its first call. tokenizer: where there is none, vocabulary entries are
    called by their numbers. What is not read stays NaN, or −1 in integers. Until
    the answer is there only the residuals of the rehearsed positions stay, on the host.
    """

    def __init__(
        self,
        reading: Reading,
        text: Prompt,
        tokenizer: Any,
        entries: Mapping[int, int],
        top_k: int,
    ) -> None:
        self.reading = reading
        self.text = text
        self.tokenizer = tokenizer
        self.entries = entries
        self.top_k = top_k
        self.vocabulary: dict[int, str] = {}
        self._target_ids = np.full(len(text.ids), -1, np.int32)
        looked_at = tail_first(text.roles, REHEARSED_POSITIONS)
        self._looked_at = np.array(sorted(set(looked_at) & set(reading.positions)), np.int64)
        self._held: dict[tuple[str, int], list[Tensor]] = {}

    def fields(self, layers: int, step: int, storage: str) -> dict[str, Field]:
        """The arrays of a trace of so many entries, positions stored by `step`."""
        n, dims = len(self.text.ids), ("site", "layer", "position", "k")
        found = {}
        for name in (*_FIELDS, *_REHEARSAL):
            last = (self.top_k,) if "_top_" in name else ()
            shape = (len(self.reading.sites), layers, n, *last)
            found[name] = field(name, dims[: len(shape)], shape, step, storage)
        found["target_ids"] = field("target_ids", ("position",), (n,), step, storage)
        return found

    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """Coordinates of these arrays."""
        return {"site": ("site", text_array(self.reading.sites))}

    def read(
        self, sink: Sink, states: States, start: int, stop: int, gauge: Gauge,
        tell: Callable[[int], None],
    ) -> tuple[dict[str, Tensor], dict[str, str]]:  # fmt: skip
        """The lens of the tokens start … stop−1; `tell` hears of each of the layers read, and
        `gauge` of "lens" and "writing".

        Returns what `restore` needs to go on without them.
        """
        positions = self.reading.within(start, stop)
        if not positions:
            return {}, {}
        lens, at = self.reading.lens, np.array(positions)
        final = states[FINAL][-1]
        assert final is not None
        last = len(states[FINAL]) - 1
        with gauge.within("lens", last):
            predicted = lens.read(final, top_k=1).top_ids[:, 0]
            target_ids = predicted.cpu().numpy()
        self._target_ids[at] = target_ids
        with gauge.within("writing", last):
            sink.put("target_ids", (slice(start, stop),), self._target_ids[start:stop].copy())
        held = np.flatnonzero(np.isin(at, self._looked_at))
        tensors = {"target_ids": torch.from_numpy(self._target_ids[start:stop].copy())}
        named = {*target_ids.tolist()}
        done = 0
        for s, site in enumerate(self.reading.sites):
            for layer, state in enumerate(states[site]):
                if state is None:
                    continue
                tell(done)
                done += 1
                with gauge.within("lens", layer):
                    found = lens.read(state, top_k=self.top_k, targets=predicted, final=final)
                with gauge.within("writing", layer):
                    for name, attribute in _FIELDS.items():
                        values = getattr(found, attribute)
                        rows = (s, self.entries[layer], slice(start, stop))
                        whole = _spread(values, at - start, stop - start, sink.fields[name].fill)
                        sink.put(name, rows, whole)
                    named.update(found.top_ids.unique().tolist())
                    if held.size:
                        kept = state[torch.from_numpy(held).to(state.device)].cpu()
                        self._held.setdefault((site, layer), []).append(kept)
                        tensors[f"{site}.{layer}"] = kept
        with gauge.within("writing"):
            return tensors, {"vocabulary": json.dumps(self._name(named))}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, str], start: int) -> None:
        """Take in what `read` returned of a chunk that begins at `start`."""
        for site in self.reading.sites:
            for layer in self.reading.layers:
                if (kept := tensors.get(f"{site}.{layer}")) is not None:
                    self._held.setdefault((site, layer), []).append(kept)
        if "target_ids" in tensors:
            ids = tensors["target_ids"].numpy()
            self._target_ids[start : start + len(ids)] = ids
        texts = json.loads(facts.get("vocabulary", "{}"))
        self.vocabulary |= {int(i): str(text) for i, text in texts.items()}

    def rehearse(self, sink: Sink, answer: Sequence[int], step: int) -> None:
        """Look for the answer's content tokens in the residuals that were held.

        step: how many positions a stored chunk has.
        """
        at = self._looked_at
        if not at.size:
            return
        own = np.array(_own_tokens(self.text, self._target_ids.tolist()))[at]
        lens = self.reading.lens
        for s, site in enumerate(self.reading.sites):
            layers = [layer for layer in self.reading.layers if (site, layer) in self._held]
            residuals = [torch.cat(self._held[site, layer]) for layer in layers]
            found = rehearse(lens, residuals, range(at.size), at.size, answer, own.tolist())
            self._name(set(found.ids[found.ids >= 0].tolist()))
            for start in range(0, len(self.text.ids), step):
                stop = min(len(self.text.ids), start + step)
                here = np.flatnonzero((at >= start) & (at < stop))
                if not here.size:
                    continue
                for name, attribute in _REHEARSAL.items():
                    values = getattr(found, attribute)
                    for row, layer in enumerate(layers):
                        part = torch.from_numpy(values[row, here])
                        fill = sink.fields[name].fill
                        part = _spread(part, at[here] - start, stop - start, fill)
                        sink.put(name, (s, self.entries[layer], slice(start, stop)), part)

    def _name(self, ids: set[int]) -> dict[int, str]:
        """Remember the texts of vocabulary entries; those that are new."""
        new = sorted(ids - set(self.vocabulary))
        if self.tokenizer is None:
            texts = {token: f"[{token}]" for token in new}
        else:
            texts = dict(zip(new, map(str, vocabulary_text(self.tokenizer, new)), strict=True))
        self.vocabulary |= texts
        return texts


def _spread(values: Tensor, rows: np.ndarray, length: int, fill: float) -> Tensor:
    """`values` at `rows` of `length` positions, the others missing: a chunk to write whole."""
    if len(rows) == length:
        return values
    whole = values.new_full((length, *values.shape[1:]), fill)
    whole[torch.from_numpy(rows).to(values.device)] = values
    return whole


def _own_tokens(text: Prompt, predicted: Sequence[int]) -> list[int]:
    """The token that each position is itself to say next, which is no rehearsal there.

    Within the template that is the template's own next token: what the lens reads there instead is
    said by nobody (chat models are trained on the answers, not on their template).
    """
    tokens = list(predicted)
    for i in range(len(tokens) - 1):
        if text.roles[i] != "content":
            tokens[i] = text.ids[i + 1]
    return tokens
