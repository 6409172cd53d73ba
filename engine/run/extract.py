"""Extract a trace from a model and a prompt, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from attentropy.engine import demo
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.load import LoadedModel, load, wrap_loaded
from attentropy.engine.prompt.messages import Messages
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.run.answer import answer_arrays, greedy, vocabulary_arrays
from attentropy.engine.run.job import Job, open_partial
from attentropy.engine.run.options import Options, Progress
from attentropy.engine.run.plan import plan_run
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from attentropy.engine.trace.statistics import KEPT_STATS

# A trace without an output goes to a disk from so many bytes on.
SCRATCH_BYTES = 256 * 2**20


def extract(
    model: str | Path | PreTrainedModel | None = None,
    prompt: str | Messages | Sequence[int] | None = None,
    *,
    tokenizer: Any = None,
    chat_template: bool = True,
    system: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    quantize: str | None = None,
    max_new_tokens: int = 8,
    top_k: int = 5,
    stats: Sequence[str] = KEPT_STATS,
    layers: str | None = None,
    heads: str = "all",
    sites: Sequence[str] = ("residual",),
    lens_layers: str | None = None,
    lens_positions: str | None = None,
    map_tile: str = "auto",
    map_heads: str = "mean",
    windows: Sequence[str] = (),
    scores: bool = True,
    storage: str = "float32",
    chunk: int | None = None,
    memory: int | None = None,
    output: str | Path | None = None,
    scratch: str | Path | None = None,
    force: bool = False,
    resume: bool = False,
    keep_cache: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Run `model` over `prompt` and return what was recorded, in nats (see `Trace`).

    model: a hub id or local folder, None for the embedded model, or a transformers model that is
    loaded already, with its `tokenizer`. `revision`, `dtype`, `device` and `quantize` are those of
    `load`. prompt: a text (the user's turn where the model has a chat template), chat messages as
    transformers takes them, token ids, or None for the embedded model's question.
    `max_new_tokens` are generated greedily, so that `rehearsal` can be measured. `sites`: of
    "residual", "attention" and "mlp", those that the lens reads; () leaves it out. `lens_layers`
    and `lens_positions` choose as in "0,5,10:", "-4:" or "all", positions also as "template"; by
    default all layers, and positions up to the budget of `LensSize.budget`.

    map_tile: of the token × token map, "auto", "none", "64" or "64x32" (queries by keys), see
    `windows.map_tile`; its `map_heads` are the "mean" or "all". windows: rectangles of exact
    weights, as in "-64:,0:512" (queries, keys). scores: those of the heads, for which the model
    also reads a short text of repeated random tokens.

    stats: which of `attention`'s statistics, and "lse", are kept; `layers`: of which layers, by
    default all; `heads`: of "all", of some ("0,3,5:"), or their "mean". storage: "float32", or
    "float16" for what that can hold, with the largest error in `attrs["storage_error"]`.
    The prompt is read `chunk` tokens at a time through the cache; without it, as many as fit well
    in the memory that is free, or in half of `memory` (bytes), which bounds what the run holds
    beside weights and cache.
    output: a `.zarr` or `.zarr.zip` that the trace is written into as it is made, whole or not at
    all, an existing one replaced only by `force`; without it, everything stays in memory. Until it
    is whole, `OUTPUT.partial` beside it holds what there is, and another call with `resume` goes
    on from there: the finished chunks are read again unrecorded, or with `keep_cache` their keys
    and values are kept and loaded. scratch: a folder of the caller's that takes a trace without
    output where it has more than `SCRATCH_BYTES`. `progress(stage, done, total)` is called as it
    goes.

    Raises `UsageError` for arguments that cannot work, `AttentropyError` for a model that cannot
    be recorded and for what stops a run: a full disk, memory, a lost device. A lens that cannot be
    read is left out and noted in the trace.
    """
    options = Options(
        chat_template=chat_template, system=system, revision=revision, dtype=dtype, device=device,
        quantize=quantize, max_new_tokens=max_new_tokens, top_k=top_k, stats=stats, layers=layers,
        heads=heads, sites=sites, lens_layers=lens_layers, lens_positions=lens_positions,
        map_tile=map_tile, map_heads=map_heads, windows=windows, scores=scores, storage=storage,
        chunk=chunk, memory=memory, output=output, scratch=scratch, force=force, resume=resume,
        keep_cache=keep_cache,
    )  # fmt: skip
    partial = open_partial(output, force=force, resume=resume, keep_cache=keep_cache)
    if prompt is None:
        if model is not None:
            raise UsageError("give a prompt with -p, -f or -m")
        prompt = demo.DEFAULT_PROMPT
    show = progress or (lambda stage, done, total: None)
    show("loading the model", 0, 1)
    loaded = _loaded(model, tokenizer, options.placement)
    text = prepare(
        loaded.tokenizer,
        prompt,
        chat_template=chat_template,
        system=system,
        vocabulary=config_facts(loaded.model.config)["vocabulary"],
    )
    _check_length(loaded, len(text.ids))
    show("checking the model", 0, 1)
    earlier = partial.run() if partial is not None and resume else {}
    plan = plan_run(loaded, text, options, earlier)
    if scratch is not None and plan.nbytes > SCRATCH_BYTES:
        partial = PartialTrace(Path(scratch) / "trace.zarr", temporary=True)
    with Job(plan, partial, earlier, show) as job:
        trace = _run(job, max_new_tokens, show)
    show("done", 1, 1)
    return trace


def _run(job: Job, max_new_tokens: int, show: Progress) -> Trace:
    """Read the prompt, answer it, look for the answer, and return the trace."""
    plan = job.plan
    output = job.read()
    show("answering", 0, 1)
    answer = greedy(plan.loaded, plan.ids, output, max_new_tokens)
    del output
    arrays = answer_arrays(plan.loaded, answer)
    content = arrays["generated_content"][1].astype(bool)
    if plan.lens is not None:
        show("looking for the answer", 0, 1)
        job.rehearse([token for (token, _), keep in zip(answer, content, strict=True) if keep])
        arrays |= vocabulary_arrays(plan.lens.vocabulary)
    words = [str(t) for t, keep in zip(arrays["generated_text"][1], content, strict=True) if keep]
    return job.finish(arrays, {"answer": "".join(words).strip()})


def _loaded(model: Any, tokenizer: Any, placement: dict[str, str | None]) -> LoadedModel:
    if isinstance(model, PreTrainedModel):
        if names := [name for name, value in placement.items() if value is not None]:
            raise UsageError(f"{names[0]} is for a model to load, and this one is loaded already")
        return wrap_loaded(model, tokenizer)
    if tokenizer is not None:
        raise UsageError("tokenizer is for a loaded model; a folder or a hub id has its own")
    return load(model, **placement)


def _check_length(loaded: LoadedModel, tokens: int) -> None:
    positions = config_facts(loaded.model.config)["positions"]
    if positions is not None and tokens > positions:
        raise UsageError(
            f"the prompt has {tokens} tokens, and {loaded.name!r} has {positions} positions; "
            "shorten it"
        )


__all__ = ["AttentropyError", "extract"]
