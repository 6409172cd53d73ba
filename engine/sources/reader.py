"""Read an answer again with parts of its prompt hidden: ln p of each of its tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.model.devices import input_device
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.sources import cost
from attentropy.engine.sources.hiding import Interval, Variant
from attentropy.engine.sources.prompt_cache import past_in, read_prompt
from attentropy.engine.sources.ways import Mass, Way, check_hiding

# The share of the rows of a pass that each of its spans has to need.
NEEDED_ROWS = 0.8
SWEEPS_OF_FIRST = 3  # over all scores in the first reading, which also gives weights


class HiddenReader:
    """Reads an answer, teacher-forced, with keys hidden from it; the prompt is read once.

    ids: the tokens of prompt and answer, the first `prompt_tokens` of them the prompt's. cache:
    what a run left; it is used where it has every key and value of the prompt as they were.
    Otherwise the prompt is read from the start, in chunks of `chunk` tokens. Raises
    `AttentropyError` for a model in which information passes around the mask, and `ValueError`
    without prompt or answer.
    """

    def __init__(
        self, loaded: LoadedModel, ids: Sequence[int], prompt_tokens: int, *,
        cache: Any = None, chunk: int = 1024,
    ) -> None:  # fmt: skip
        if not 0 < prompt_tokens < len(ids):
            raise ValueError(f"{prompt_tokens} tokens of a prompt, {len(ids)} with the answer")
        self.model = loaded.model
        self.prompt_tokens, self.steps = prompt_tokens, len(ids) - prompt_tokens
        self.passes, self.rows, self.seconds = 0, 0, 0.0
        self._ids = torch.tensor([int(i) for i in ids], device=input_device(self.model))
        self._way: Way = check_hiding(self.model)
        last = prompt_tokens - 1
        past = past_in(cache, last)
        if past is None:
            past = read_prompt(self.model, self._ids[None, :last], chunk)
            self.passes, self.rows = self.passes + -(-last // chunk), self.rows + last
        self._past = past

    def direct(self, variants: Sequence[Variant]) -> np.ndarray:
        """Return ln p of each token, float64 [variant, step], its rows alone read again."""
        return self.logprobs(variants, self.prompt_tokens - 1)

    def open(self) -> AbstractContextManager[None]:
        """Keep the model switched to readings while open: many of them then switch it once."""
        return self._way.open(self.model)

    def logprobs(self, variants: Sequence[Variant], first_row: int) -> np.ndarray:
        """Return ln p of each token with all rows from `first_row` on read again.

        Intervals hide nothing from rows before `first_row`; it is at most the last of the prompt.
        """
        if not 0 <= first_row < self.prompt_tokens:
            raise ValueError(f"row {first_row} of a prompt of {self.prompt_tokens} tokens")
        answers = [
            self._read(self._ids[first_row:], first_row, batch)
            for batch in self._batches(variants, first_row)
        ]
        return np.concatenate([np.empty((0, self.steps)), *answers])

    def total(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return ln p of each token, float64 [span, step], each span hidden from all later rows.

        These are the rows from its end on, at the latest from the prompt's last position. Spans
        whose ends are near each other share passes.
        """
        firsts = [self.first_row(stop) for _, stop in spans]
        result = np.empty((len(spans), self.steps))
        for group in self._groups(firsts):
            variants = [(Interval(*spans[i], firsts[i]),) for i in group]
            result[group] = self.logprobs(variants, min(firsts[i] for i in group))
        return result

    def first_row(self, stop: int) -> int:
        """Return the first row from which a span that ends at `stop` is hidden in total."""
        return min(stop, self.prompt_tokens - 1)

    def remove(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return ln p of each token, float64 [span, step], with each span taken out of the prompt.

        What follows it moves forward. The first token has NaN where no prompt is left.
        """
        answers = []
        for start, stop in spans:
            rest = torch.cat([self._ids[:start], self._ids[stop:]])
            first = max(0, min(start, len(rest) - self.steps - 1))
            answers.append(self._read(rest[first:], first, [()]))
        return np.concatenate([np.empty((0, self.steps)), *answers])

    @cached_property
    def unhidden(self) -> tuple[np.ndarray, np.ndarray | None]:
        """What a reading gives that hides nothing: ln p, float64 [step], and weights of the prompt.

        These are float64 [layer, prompt token], mean over heads and the rows that predict the
        answer; a layer without attention has NaN. They are None where the model computes attention
        by itself.
        """
        last, count = self.prompt_tokens - 1, len(self._past)
        sums: dict[int, Tensor] = {}
        rows: dict[int, int] = {}

        def add(layer: int, queries: int, weights: Tensor) -> None:
            part = weights[: self.prompt_tokens].cpu() * queries
            sums[layer] = sums[layer] + part if layer in sums else part
            rows[layer] = rows.get(layer, 0) + queries

        has_mass = self._way.has_mass
        logprob = self._read(self._ids[last:], last, [()], mass=add if has_mass else None)[0]
        if not has_mass:
            return logprob, None
        layers = max(count, *(layer + 1 for layer in sums))
        result = np.full((layers, self.prompt_tokens), np.nan)
        for layer, total in sums.items():
            result[layer] = (total / rows[layer]).numpy()
        return logprob, result

    def _read(
        self, ids: Tensor, first: int, variants: Sequence[Variant], mass: Mass | None = None
    ) -> np.ndarray:
        """Return ln p of the last `steps` of `ids`, float64 [variant, step], read from `first` on.

        The first has NaN where no row predicts it.
        """
        answers = np.full((len(variants), self.steps), np.nan)
        begin = time.perf_counter()
        lead = len(ids) - 1 - self.steps  # rows before those that predict the answer
        bounds = self._bounds(len(ids) - 1, len(variants))
        passes = self._way.passes(
            self.model, ids[None, :-1], self._past, first, variants, bounds,
            keep=max(0, lead), mass=mass,
        )  # fmt: skip
        for start, stop, logits in passes:
            self.passes, self.rows = self.passes + 1, self.rows + (stop - start) * len(variants)
            row = max(start, lead)
            if row >= stop:
                continue
            targets = ids[row + 1 : stop + 1]
            steps = slice(row - lead, stop - lead)
            for number, values in enumerate(logits[:, row - stop :]):
                exact = values.double()
                logprob = exact.gather(-1, targets.to(exact.device)[:, None])[:, 0]
                answers[number, steps] = (logprob - exact.logsumexp(-1)).cpu().numpy()
        self.seconds += time.perf_counter() - begin
        return answers

    def _bounds(self, rows: int, variants: int) -> list[tuple[int, int]]:
        """Return the rows (start, stop) of each pass of a reading of `rows` rows.

        The answer's have passes of their own where one does not take all.
        """
        step = max(1, cost.PASS_ROWS // variants)
        answer_step = min(step, max(1, cost.LOGIT_BYTES // (4 * self._vocabulary * variants)))
        if rows <= step and self.steps <= answer_step:
            return [(0, rows)] if rows else []
        lead = max(0, rows - self.steps)
        starts = [*range(0, lead, step), *range(lead, rows, answer_step)]
        return list(pairwise([*starts, rows]))

    def _batches(self, variants: Sequence[Variant], first_row: int) -> Iterator[Sequence[Variant]]:
        """Yield the variants that share passes."""
        rows = len(self._ids) - 1 - first_row
        size = cost.together(rows, self.steps, self._vocabulary)
        size = min(size, self._way.most or size)
        for start in range(0, len(variants), size):
            yield variants[start : start + size]

    def _groups(self, firsts: Sequence[int]) -> Iterator[list[int]]:
        """Yield the numbers of spans that share passes, given the first row of each.

        Sharing reads some rows for nothing, so that it has to leave most of them needed.
        """
        end = len(self._ids) - 1
        group: list[int] = []
        for number in sorted(range(len(firsts)), key=lambda i: firsts[i]):
            if group:
                rows = end - firsts[group[0]]
                is_near = (end - firsts[number]) >= NEEDED_ROWS * rows
                if not is_near or (len(group) + 1) * rows > cost.PASS_ROWS:
                    yield group
                    group = []
            group.append(number)
        if group:
            yield group

    @property
    def _vocabulary(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)
