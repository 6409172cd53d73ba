"""The result of the tests: a dataset of effects by span and step, and a plain table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.sources.controls import Control
from attentropy.engine.sources.followups import Groups
from attentropy.engine.sources.labels import Facts, label_of
from attentropy.engine.sources.search import Search, Tested
from attentropy.engine.sources.table import source_table
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.types import Array


@dataclass(frozen=True)
class Sources:
    """What each word of an answer rests on.

    dataset: see docs/trace-format.md, its group `sources`. tokens: the texts of prompt and answer.
    """

    dataset: xr.Dataset
    tokens: tuple[str, ...]
    prompt_tokens: int

    def table(self) -> list[dict[str, Any]]:
        """Return one plain dict per span and decisive word, the strongest effects first."""
        return source_table(self.dataset, self.tokens, self.prompt_tokens)


def dataset_of(
    search: Search, groups: Groups, layers: Sequence[int], versus: Array, attrs: dict[str, Any]
) -> xr.Dataset:
    """Return the dataset of a finished search; versus: the effect of each span of `tested`."""
    order = sorted(range(len(search.tested)), key=lambda i: _place(search.tested[i]))
    spans = [search.tested[i] for i in order]
    steps, words = search.readings.steps, len(search.words)
    attended = {id(one) for one in search.attended()}

    def per_step(name: str) -> tuple[tuple[str, str], Array]:
        values = [getattr(one, name) for one in spans]
        return ("span", "step"), np.array(values, np.float64).reshape(len(spans), steps)

    def per_word(name: str, end: str) -> tuple[tuple[str, str], Array]:
        controls: list[Control] = [getattr(one, name) for one in spans]
        values = np.array([getattr(own, end) for own in controls], np.float64)
        return ("span", "word"), values.reshape(len(spans), words)

    unknown = np.full((len(layers), steps), np.nan)
    from_layer = [unknown if one.from_layer is None else one.from_layer for one in spans]
    labels = [_labels(search, one, is_attended=id(one) in attended) for one in spans]
    return xr.Dataset(
        {
            "span_start": ("span", np.array([one.span.start for one in spans], np.int64)),
            "span_stop": ("span", np.array([one.span.stop for one in spans], np.int64)),
            "span_level": ("span", text_array([one.span.level for one in spans])),
            "span_role": ("span", text_array([one.span.role for one in spans])),
            "span_id": ("span", text_array([one.span.id for one in spans])),
            "span_refined": ("span", np.array([one.is_refined for one in spans], np.int8)),
            "word_start": ("word", np.array([word.start for word in search.words], np.int64)),
            "word_stop": ("word", np.array([word.stop for word in search.words], np.int64)),
            "word_decisive": ("word", np.array([w.is_decisive for w in search.words], np.int8)),
            "logprob": ("step", search.readings.logprob),
            "effect_direct": per_step("direct"),
            "effect_with_copies": per_step("with_copies"),
            "effect_copies": per_step("copies"),
            "effect_total": per_step("total"),
            "effect_remove": per_step("removed"),
            "effect_sufficient": per_step("sufficient"),
            "effect_from_layer": (
                ("span", "layer", "step"),
                np.array(from_layer, np.float64).reshape(len(spans), len(layers), steps),
            ),
            "control_low": per_word("control", "low"),
            "control_high": per_word("control", "high"),
            "control_total_low": per_word("control_total", "low"),
            "control_total_high": per_word("control_total", "high"),
            "control_draws": ("span", np.array([one.control.draws for one in spans], np.int32)),
            "attention_mass": ("span", np.array([one.mass for one in spans], np.float64)),
            "label": (
                ("span", "word"), np.array(labels, np.int8).reshape(len(spans), words)
            ),
            "effect_all_evidence": ("step", groups.evidence),
            "effect_template": ("step", groups.template),
            "effect_versus": ("span", versus[order] if len(order) else versus),
        },
        coords={"layer": ("layer", np.array(layers, np.int32))},
        attrs=attrs,
    )  # fmt: skip


def _place(one: Tested) -> tuple[int, int]:
    """Return where a span belongs in the order: the coarser of two at one place first."""
    return one.span.start, -one.span.stop


def _labels(search: Search, one: Tested, *, is_attended: bool) -> list[int]:
    effects, totals = search.word_effects(one.with_copies), search.word_effects(one.total)
    return [
        label_of(
            Facts(
                with_copies=float(effects[word]),
                is_own=search.is_own(one, word),
                total=float(totals[word]),
                low=float(one.control.low[word]),
                high=float(one.control.high[word]),
                total_low=float(one.control_total.low[word]),
                floor=search.floor,
                is_sink=one.is_sink,
                is_also_there=bool(one.also_there[word]),
                is_attended=is_attended,
            )
        )
        for word in range(len(search.words))
    ]
