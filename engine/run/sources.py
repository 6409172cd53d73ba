"""Find what the words of an answer rest on, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attentropy.engine import demo
from attentropy.engine.arguments import read_count, read_number, read_torch_name, refuse
from attentropy.engine.errors import UsageError
from attentropy.engine.model.cache import cache_of
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.sandbox import one_child
from attentropy.engine.prompt.ids import read_ids
from attentropy.engine.prompt.prepare import Prompt, PromptLike, prepare
from attentropy.engine.prompt.turns import message_roles
from attentropy.engine.run import prefill
from attentropy.engine.run.decode import GREEDY, decode
from attentropy.engine.run.opening import check_length, open_model
from attentropy.engine.run.options import Progress
from attentropy.engine.run.source_tests import find_sources, with_segments
from attentropy.engine.run.target import ids_in_place
from attentropy.engine.sources.controls import DRAWS
from attentropy.engine.sources.measure import SourceOptions
from attentropy.engine.sources.results import Sources
from attentropy.engine.sources.spans import check_level
from attentropy.engine.trace.sources import AUTO, METHODS

_CHUNK = 1024


def sources(
    model: str | Path | nn.Module | None = None,
    prompt: PromptLike | None = None,
    *,
    answer: Any = None,
    segments: Mapping[str, Any] | None = None,
    level: str = AUTO,
    target: str | None = None,
    versus: str | None = None,
    how: str = "hide",
    budget: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    max_new_tokens: int = 32,
    tokenizer: Any = None,
    chat_template: bool = True,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
    revision: str | None = None,
    dtype: Any = None,
    device: Any = None,
    quantize: str | None = None,
    progress: Progress | None = None,
) -> Sources:
    """Hide parts of a prompt from the model's answer, and return what each word rests on.

    The answer is read again with a passage hidden from it; a word whose probability more than
    halves, compared with passages of the same length hidden by chance, rests on the passage. It is
    about this prompt and this answer (docs/sources.md).

    Args:
        model: As in `extract`: a hub id, a folder, a loaded model; None for the embedded model.
        prompt: As in `extract`; None for the embedded model's question.
        answer: Token ids of an answer that the model gave before; by default the model answers
            greedily.
        segments: Named parts of the prompt, as in `extract`, such as the chunks of a retrieval.
            They are tested as a whole. "question" names what asks, "instruction" what instructs.
        level: What is hidden at the finest: "message", "paragraph", "sentence", "word", or
            "auto": words of the question, sentences of a document, and segments.
        target: A text to test in place of the model's answer, tokenized after the prompt.
        versus: Another text: effects on ln p(answer) − ln p(versus) are returned too.
        how: "hide"; "remove" also reads the prompt again without each span.
        budget: Seconds that the tests may take, as predicted; by default no limit. What is left out
            is not tested (NaN), never zero.
        draws: Number of random passages of the same length that an effect is compared with.
        seed: Seed of these draws.
        max_new_tokens: Maximum length of the answer.
        tokenizer, chat_template: As in `extract`.
        system, question: As in `extract`.
        tools, template_args: As in `extract`.
        revision, dtype: As in `extract`.
        device, quantize: As in `extract`.
        progress: Called as progress(stage, done, total).

    Returns:
        The sources: `.table()` has a plain dict per span and decisive word, `.dataset` all numbers
        (docs/trace-format.md), in nats.

    Raises:
        UsageError: An argument that cannot work, an answer without tokens, one part alone.
        AttentropyError: A model whose layers pass information around softmax attention.

    Examples:
        >>> from attentropy import sources
        >>> rows = sources(prompt="What is the capital of Japan?").table()
        >>> [row["text"].strip() for row in rows if row["label"] == "source"]
        ['Japan']
    """
    texts = {"target": target, "versus": versus}
    options = _options(level, how, budget, seed, draws, texts)
    if answer is not None and target is not None:
        raise UsageError("`answer` and `target` both say what the answer is; leave one out")
    given_ids = None if answer is None else _ids_of_answer(answer)
    count = read_count(max_new_tokens, "max_new_tokens")
    placement = {"revision": revision, "dtype": read_torch_name(dtype),
                 "device": read_torch_name(device), "quantize": quantize}  # fmt: skip
    if prompt is None:
        if model is not None or question is not None:
            raise UsageError("no prompt; give one with `prompt`")
        prompt = demo.DEFAULT_PROMPT
    turns: dict[str, Any] = {
        "system": system, "question": question, "tools": tools, "template_args": template_args,
    }  # fmt: skip
    show = progress or (lambda stage, done, total: None)
    show("loading the model", 0, 1)
    with one_child():
        loaded = open_model(model, tokenizer, placement)
        text = prepare(
            loaded.tokenizer, prompt, chat_template=chat_template,
            vocabulary=config_facts(loaded.model.config)["vocabulary"], **turns,
        )  # fmt: skip
    text = with_segments(text, segments)
    check_length(loaded, len(text.ids))
    versus_ids = ids_in_place(loaded, text, versus, "versus") if versus is not None else []
    if target is not None:
        given_ids = ids_in_place(loaded, text, target, "target")
    show("answering", 0, 1)
    reply = _Reply(given_ids) if given_ids is not None else _answer(loaded, text, count)
    return find_sources(
        loaded, text, reply.ids, options, message_roles=message_roles(prompt, **turns),
        versus=versus_ids, cache=reply.cache, show=show,
    )  # fmt: skip


def _options(
    level: Any, how: Any, budget: Any, seed: Any, draws: Any, texts: Mapping[str, str | None]
) -> SourceOptions:
    """Return the options of the tests. Raises `UsageError`."""
    if how not in METHODS:
        raise refuse("how", " or ".join(f'"{way}"' for way in METHODS), how)
    seconds = None
    if budget is not None:
        seconds = read_number(budget, "budget", "a number of seconds above 0", 0, is_open=True)
    return SourceOptions(
        level=check_level(level), how=how, budget=seconds,
        seed=read_count(seed, "seed", least=0), draws=read_count(draws, "draws", least=0),
        target=texts["target"] or "", versus=texts["versus"] or "",
    )  # fmt: skip


def _ids_of_answer(answer: Any) -> list[int]:
    ids = [] if isinstance(answer, (list, tuple)) and not answer else read_ids(answer)
    if ids is None:
        raise refuse("answer", "token ids (a text goes to `target`)", answer)
    return ids


@dataclass(frozen=True)
class _Reply:
    """The ids of an answer, and what generating them left."""

    ids: list[int]
    cache: Any = None


def _answer(loaded: LoadedModel, text: Prompt, count: int) -> _Reply:
    """Answer the prompt greedily."""
    ids = torch.tensor([text.ids], device=input_device(loaded.model))
    output = None
    for start in range(0, len(text.ids), _CHUNK):
        stop = min(start + _CHUNK, len(text.ids))
        cache = None if output is None else cache_of(output)
        output = prefill.read_chunk(loaded.model, ids, start, stop, cache)
    assert output is not None
    cache = cache_of(output)
    answer = decode(loaded, ids, output.logits[:, -1], cache, GREEDY, step=0, count=count)
    return _Reply([token.id for token in answer], cache)
