"""The tests of sources within a run: planned before it, made after its answer.

What prevents tests that somebody asked for is an error. Where they are made by default, it is a
note, and the run goes on without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.attention.probe import MODEL_ERRORS
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.run.options import Options, Progress
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.run.source_budget import SHARE, allowance
from attentropy.engine.run.source_request import SourceRequest
from attentropy.engine.run.source_tests import find_sources
from attentropy.engine.run.target import ids_in_place
from attentropy.engine.sources.measure import SourceOptions
from attentropy.engine.sources.reads import BudgetTooSmall
from attentropy.engine.sources.ways import check_hiding
from attentropy.engine.trace.segments import check_whole_tokens
from attentropy.engine.trace.text import count, text_array

DEFAULT_TOKENS = 512  # the longest prompt whose sources are tested by default


@dataclass(frozen=True)
class SourceRun:
    """The tests that a run makes after its answer, and what they need; `why_not`: there are none.

    target, versus: ids that follow the prompt, empty where there is no such text.
    """

    options: Options
    message_roles: Sequence[str] = ()
    target: Sequence[int] = ()
    versus: Sequence[int] = ()
    why_not: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def request(self) -> SourceRequest:
        """What the caller asked for."""
        return self.options.sources

    @property
    def is_wanted(self) -> bool:
        """Whether there is something to test."""
        return self.request.level is not None and self.why_not is None


def plan_sources(
    plan: RunPlan,
    options: Options,
    segments: Mapping[str, Any] | None,
    message_roles: Sequence[str],
) -> SourceRun:
    """Plan the tests before the prompt is read.

    segments: the named parts of the prompt, as the caller gave them. Raises `AttentropyError` for
    tests that were asked for and cannot be made.
    """
    request, run = options.sources, SourceRun(options)
    if request.level is None:
        return run
    if not request.is_asked and (not plan.is_causal or not plan.room):
        return SourceRun(options, why_not="there is no answer")
    if not request.is_asked and plan.tokens > DEFAULT_TOKENS:
        return _left_out(
            options, f"the prompt has more than {count(DEFAULT_TOKENS, 'token')}", is_possible=True
        )
    try:
        _check(plan, request, segments)
    except AttentropyError as error:
        if request.is_asked:
            raise
        return _left_out(options, str(error))
    target, versus = (
        [] if words is None else ids_in_place(plan.loaded, plan.text, words, name)
        for name, words in (("target", request.target), ("versus", request.versus))
    )
    return SourceRun(options, message_roles, target, versus)


def _check(plan: RunPlan, request: SourceRequest, segments: Mapping[str, Any] | None) -> None:
    """Raise `AttentropyError` for what cannot be tested, whatever the answer will be."""
    if not plan.is_causal:
        raise UsageError(
            f"`test_sources`: {type(plan.loaded.model).__name__} is a masked language model, which "
            "has no answer"
        )
    if not plan.room and request.target is None:
        raise UsageError("`test_sources`: the run has no answer; use `max_new_tokens` or `target`")
    check_hiding(plan.loaded.model)
    if segments is not None:
        check_whole_tokens(plan.text.tokens, plan.text.roles, segments)
        if len(segments) == 1:
            raise UsageError(
                "`segments` has one segment only; name the others that it is compared with"
            )
    if request.level == "segment" and not any(plan.text.segments or ()):
        raise UsageError('`test_sources="segment"` needs `segments`')


def _left_out(options: Options, why: str, *, is_possible: bool = False) -> SourceRun:
    advice = '; use `test_sources="auto"` to test them' if is_possible else ""
    note = f"the sources of the answer were not tested: {why}{advice}"
    return SourceRun(options, why_not=why, notes=[note])


def test_run(
    run: SourceRun, plan: RunPlan, answer: Sequence[int], cache: Any, show: Progress
) -> tuple[xr.Dataset | None, list[str]]:
    """Return the sources of the answer, None where they are not tested, and notes.

    answer: the ids that were generated. cache: what the run left of prompt and answer. Raises
    `AttentropyError` for tests that were asked for and cannot be made.
    """
    if not run.is_wanted:
        return None, run.notes
    request = run.request
    ids = run.target or answer
    allowed = None if request.is_asked else allowance(plan, run.options, len(answer), len(ids))
    options = SourceOptions(
        level=str(request.level), how=request.how, target=request.target or "",
        versus=request.versus or "",
        budget=request.budget if allowed is None else allowed.seconds,
        is_whole=allowed is not None,
    )  # fmt: skip
    try:
        sources = find_sources(
            plan.loaded, plan.text, ids, options, message_roles=run.message_roles,
            versus=run.versus, cache=cache, show=show,
            nominal=None if allowed is None else allowed.nominal,
        )  # fmt: skip
    except BudgetTooSmall:
        why = f"they take more than {SHARE:.0%} of the run"
        return None, _left_out(run.options, why, is_possible=True).notes
    except (AttentropyError, MemoryError, *MODEL_ERRORS) as error:
        if request.is_asked:
            raise
        return None, _left_out(run.options, _reason(error)).notes
    dataset = sources.dataset
    if allowed is not None and dataset.attrs["notes"]:
        advice = 'some tests were left out; use `test_sources="auto"` to make all of them'
        dataset.attrs["notes"] = [*dataset.attrs["notes"], advice]
    texts = sources.tokens[sources.prompt_tokens :]
    return _with_steps(dataset, ids, texts, None if run.target else plan.tokens), []


def _reason(error: BaseException) -> str:
    if isinstance(error, AttentropyError):
        return str(error)
    return f"reading the answer again failed ({type(error).__name__})"


def _with_steps(
    dataset: xr.Dataset, ids: Sequence[int], texts: Sequence[str], first: int | None
) -> xr.Dataset:
    """Return the sources with the tokens that were tested, and where these are in the trace.

    texts: of the tokens in their place, where the first token of a letter has all of it. first: the
    position of the first token, None for a text that the trace does not have.
    """
    own = list(ids[: dataset.sizes["step"]])
    places = np.full(len(own), -1) if first is None else np.arange(len(own)) + first
    return dataset.assign(
        step_ids=("step", np.array(own, np.int32)),
        step_text=("step", text_array(texts)),
        step_position=("step", places.astype(np.int32)),
    )
