"""Run all tests of an answer over a reader, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.sources.controls import DRAWS
from attentropy.engine.sources.copies import Hiding
from attentropy.engine.sources.cost import STRONGEST, Speed, Workload, expected
from attentropy.engine.sources.followups import (
    find_bands,
    hide_by_layer,
    hide_from_all,
    hide_groups,
    leave_one_passage,
    remove_each,
)
from attentropy.engine.sources.layout import EVIDENCE, Layout
from attentropy.engine.sources.reads import Readings, Reads
from attentropy.engine.sources.results import Sources, dataset_of
from attentropy.engine.sources.rounds import find_also_there
from attentropy.engine.sources.search import Search
from attentropy.engine.sources.spans import Spans
from attentropy.engine.sources.words import answer_words
from attentropy.engine.trace.sources import AUTO
from attentropy.engine.trace.types import Array


@dataclass(frozen=True)
class SourceOptions:
    """How the tests go: the level of spans, hiding or removing, and what they may take.

    budget: seconds, None for no limit. is_whole: a budget that does not pay for every span is an
    error. target and versus: their texts, "" for none.
    """

    level: str = AUTO
    how: str = "hide"
    budget: float | None = None
    is_whole: bool = False
    seed: int = 0
    draws: int = DRAWS
    target: str = ""
    versus: str = ""


def expected_tests(layout: Layout, layers: int, level: str = AUTO) -> Workload:
    """Return the readings that the tests are expected to take. Raises as `check_layout` does."""
    check_layout(layout, level)
    spans = Spans(layout, level).first()
    hiding = Hiding(layout, answer_words(layout))
    copies = sum(bool(hiding.copies(range(span.start, span.stop))) for span in spans)
    lengths = {span.stop - span.start for span in spans} - {1}
    evidence = sum(span.role == EVIDENCE for span in spans)
    if any(span.level != "segment" and Spans(layout, level).finer(span) for span in spans):
        spans = spans + spans[: 4 * STRONGEST]
    return expected(len(spans), copies, layers, lengths=len(lengths), evidence=evidence)


def check_layout(layout: Layout, level: str = AUTO) -> None:
    """Raise `UsageError` where there is no answer to test, or nothing to compare a span with."""
    if layout.steps < 1 or not answer_words(layout):
        raise UsageError("the answer has no tokens, so there is nothing to test")
    spans = Spans(layout, level)
    first = spans.first()
    if len(first) == 1 and not spans.finer(first[0]):
        raise UsageError("the prompt has one part to test at this level; use a finer `level`")
    if not first:
        raise UsageError("the prompt has no words of its own to test")


def measure(
    layout: Layout,
    reader: Reads,
    layers: Sequence[int],
    pace: Speed,
    options: SourceOptions | None = None,
    *,
    rival: Reads | None = None,
    show: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Sources:
    """Test the spans of a prompt, and return what each word of the answer rests on.

    layers: the numbers of the model's layers. rival: a reader of the same prompt with the text that
    the answer is compared with. Raises `UsageError` as `check_layout` does, and `BudgetTooSmall`.
    """
    options = options or SourceOptions()
    prediction = expected_tests(layout, len(layers), options.level)
    readings = Readings(reader, pace, options.budget)
    search = Search(
        layout, answer_words(layout), readings, Spans(layout, options.level), options.seed,
        options.draws, options.is_whole,
    )  # fmt: skip
    groups = hide_groups(search)
    stages = [
        search.test, search.control_the_strongest, lambda: leave_one_passage(search),
        lambda: find_also_there(search, groups.evidence), lambda: find_bands(search, layers),
        lambda: hide_from_all(search),
        lambda: hide_by_layer(search, layers),
    ]  # fmt: skip
    show("testing sources", 0, len(stages) + 1)
    for i, stage in enumerate(stages):
        stage()
        show("testing sources", i + 1, len(stages) + 1)
    if options.how == "remove":
        remove_each(search)
    versus = _versus(search, rival, pace)
    show("testing sources", len(stages) + 1, len(stages) + 1)
    attrs = {
        "how": options.how, "floor": search.floor, "noise": readings.noise,
        "draws": options.draws, "seed": options.seed, "passes": readings.tests,
        "predicted_passes": prediction.tests, "predicted_seconds": prediction.seconds(pace),
        "level": options.level, "target": options.target, "versus": options.versus,
        "not_tested": _untested(search), "notes": _notes(readings),
    }  # fmt: skip
    dataset = dataset_of(search, groups, layers, versus, attrs)
    return Sources(dataset, tuple(layout.tokens), layout.prompt_tokens)


def _versus(search: Search, rival: Reads | None, pace: Speed) -> Array:
    """Return the effect of each span on ln p(answer) − ln p(other text), NaN without one."""
    effects = np.full(len(search.tested), np.nan)
    own = [i for i, one in enumerate(search.tested) if np.isfinite(one.direct).all()]
    if rival is None or not own:
        return effects
    other = Readings(rival, pace)
    variants = [search.hiding.direct(search.tested[i].tokens) for i in own]
    answer = np.array([search.tested[i].direct.sum() for i in own])
    effects[own] = answer - other.direct(variants).sum(-1)
    return effects


def _untested(search: Search) -> int:
    return sum(not np.isfinite(one.with_copies).all() for one in search.frontier)


def _notes(readings: Readings) -> list[str]:
    if not readings.missed:
        return []
    return [f"the budget left out {readings.missed:,} tests; what was not tested is not zero"]
