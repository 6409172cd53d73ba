"""Test what an answer rests on: from a loaded model, its prompt and the ids of the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.model.layers import layer_count
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.run.answer import parts_of_answer, with_answer
from attentropy.engine.run.decode import end_ids
from attentropy.engine.run.options import Progress
from attentropy.engine.sources.cost import Speed, speed
from attentropy.engine.sources.layout import Layout
from attentropy.engine.sources.measure import SourceOptions, check_layout, measure
from attentropy.engine.sources.reader import HiddenReader
from attentropy.engine.sources.results import Sources
from attentropy.engine.trace.segments import check_whole_tokens, segment_names

_MEASURED = 4  # variants of the reading that is timed
_ROLES = {"content": "generated", "reasoning": "reasoning", "marker": "template"}


def layout_of(
    loaded: LoadedModel, text: Prompt, answer: Sequence[int], message_roles: Sequence[str] = ()
) -> Layout:
    """Return the layout of a prompt and its answer, whose first marker of an end ends it."""
    ends = end_ids(loaded)
    count = next((i for i, token in enumerate(answer) if token in ends), len(answer))
    whole = with_answer(loaded, text, answer[:count])
    prompt = len(text.ids)
    parts = parts_of_answer(loaded, whole.ids, whole.tokens, prompt) if count else []
    special = _special_ids(loaded.tokenizer)
    return Layout(
        whole.tokens, [*text.roles, *(_ROLES[part] for part in parts)], prompt, text.messages,
        text.segments, message_roles, np.array(whole.spans, np.int64).reshape(-1, 2),
        frozenset(i for i, token in enumerate(text.ids) if token in special),
    )  # fmt: skip


def _special_ids(tokenizer: Any) -> set[int]:
    """Return the ids of all special tokens, those too that the tokenizer has no name for."""
    added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", None) or {}
    named = {int(i) for i, token in added.items() if getattr(token, "special", False)}
    return named | set(tokenizer.all_special_ids)


def with_segments(text: Prompt, segments: Mapping[str, Any] | None) -> Prompt:
    """Return the prompt with named segments. Raises `UsageError`, also for one segment alone."""
    if segments is None:
        return text
    names = segment_names(text.tokens, text.roles, segments)
    check_whole_tokens(text.tokens, text.roles, segments)
    if len(segments) == 1:
        raise UsageError("`segments` has one segment only; name those that it is compared with too")
    earlier = text.segments or [""] * len(names)  # of a document and a question
    own = [new or old for new, old in zip(names, earlier, strict=True)]
    return replace(text, segments=own)


def find_sources(
    loaded: LoadedModel,
    text: Prompt,
    answer: Sequence[int],
    options: SourceOptions,
    *,
    message_roles: Sequence[str] = (),
    versus: Sequence[int] = (),
    cache: Any = None,
    prefill_seconds: float | None = None,
    nominal: Speed | None = None,
    show: Progress = lambda stage, done, total: None,
) -> Sources:
    """Hide parts of the prompt from its answer, and return what each word rests on.

    answer: the ids that follow the prompt, to the first marker of an end; versus: those of a text
    that it is compared with. cache: what a run over the prompt left, read for `prefill_seconds`.
    nominal: the speed in whose seconds the budget is; by default that of this machine. Raises
    `UsageError` for an answer without tokens and a prompt without parts, `AttentropyError` for a
    model in which information passes around the attention.
    """
    layout = layout_of(loaded, text, answer, message_roles)
    check_layout(layout, options.level)
    begin = time.perf_counter()
    prompt, count = text.ids, layout.steps
    reader = HiddenReader(loaded, [*prompt, *answer[:count]], len(prompt), cache=cache)
    pace = (
        _measure(reader) if prefill_seconds is None else speed(prefill_seconds, len(prompt), count)
    )
    rival = HiddenReader(loaded, [*prompt, *versus], len(prompt), cache=cache) if versus else None
    with reader.open():
        sources = measure(
            layout, reader, range(layer_count(loaded.model)), nominal or pace, options,
            rival=rival, show=show,
        )  # fmt: skip
    attrs = sources.dataset.attrs
    if nominal is not None:
        attrs["predicted_seconds"] *= pace.row / nominal.row
    attrs["seconds"] = time.perf_counter() - begin
    return sources


def _measure(reader: HiddenReader) -> Speed:
    """Return the speed of a reader, from a reading in which nothing is hidden."""
    rows, seconds = reader.rows, reader.seconds
    reader.direct([()] * _MEASURED)
    row = (reader.seconds - seconds) / max(1, reader.rows - rows)
    return Speed(row, reader.prompt_tokens, reader.steps)
