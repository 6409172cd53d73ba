"""Where a prompt's time and memory go, layer by layer, and what recording adds to them.

The same ids are read in chunks through the cache, pass after pass in turns: recorded as `extract`
does it, into a folder on the disk; with nothing recorded; and on PyTorch's fused attention. Every
pass is measured by the same hooks.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine import demo
from attentropy.engine.attention.kept import check_stats
from attentropy.engine.cost.memory import chunk_tokens
from attentropy.engine.cost.size import model_size
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens.budget import check_sites
from attentropy.engine.lens.plan import plan
from attentropy.engine.maps.plan import sweeps_for
from attentropy.engine.measure.clocks import Bytes, Seconds
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import available, input_device, names
from attentropy.engine.model.load import LoadedModel, given, load, with_random_weights
from attentropy.engine.profile import torch_attention as fused
from attentropy.engine.profile.parts import find_parts, ordinary_ids
from attentropy.engine.profile.passes import Passes
from attentropy.engine.profile.results import FUSED, OFF, RECORDING, Measured, Pass, laid_out
from attentropy.engine.prompt.messages import Messages
from attentropy.engine.prompt.prepare import Prompt, prepare
from attentropy.engine.run.passes import probed
from attentropy.engine.run.provenance import provenance
from attentropy.engine.trace.dataset import Trace
from attentropy.kernels.ops import AttentionResult, attention

_PROBE = 16

Progress = Callable[[str, int, int], None]


def profile(
    model: str | Path | PreTrainedModel | None = None,
    prompt: str | Messages | Sequence[int] | None = None,
    *,
    tokenizer: Any = None,
    tokens: int | None = None,
    chunk: int | None = None,
    random_weights: bool = False,
    stats: Sequence[str] = ("entropy",),
    sites: Sequence[str] = (),
    repeat: int = 3,
    chat_template: bool = True,
    system: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    quantize: str | None = None,
    scratch: str | Path | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Measure `model` over `prompt`, or over `tokens` random ordinary ids; the trace holds the
    statistics that were recorded, `profile_seconds`, `profile_bytes` and attrs["profile"].

    model, tokenizer, prompt and placement are those of `extract`; random_weights: see
    `with_random_weights`. chunk: tokens of a pass through the cache, by default from the memory
    that is free. stats: what is recorded, as `extract` takes them, and sites what the lens reads,
    by default nothing; beside them the exact window that a run keeps unasked, no map and no head
    scores. Each variant is measured `repeat` times after a warm-up. scratch: a folder of the
    caller's, which then holds the trace; without it the passes write into a temporary one, and the
    trace is in memory in the end.

    Raises `UsageError` and `AttentropyError` as `extract` does, and for a model on several devices.
    """
    sites, stats = check_sites(sites), check_stats(stats)
    if repeat < 1 or (chunk is not None and chunk < 1):
        raise UsageError("repeat and chunk must be 1 or more")
    if tokens is not None and prompt is not None:
        raise UsageError("--tokens makes a prompt of its own; leave the other out")
    tell = progress or (lambda stage, done, total: None)
    tell("loading the model", 0, 1)
    if isinstance(model, PreTrainedModel):
        loaded = given(model, tokenizer) if tokenizer else LoadedModel(
            model, None, type(model).__name__, None
        )  # fmt: skip
    elif random_weights:
        if quantize is not None:
            raise UsageError("random weights are not quantised; leave --quantize out")
        loaded = with_random_weights(model, revision=revision, dtype=dtype, device=device)
    else:
        loaded = load(model, revision=revision, dtype=dtype, device=device, quantize=quantize)
    if len(where := names(loaded.model)) > 1:
        raise AttentropyError(f"profile measures one device, and the model is on {len(where)}")
    at = input_device(loaded.model)
    if at.type not in ("cpu", "cuda"):
        raise AttentropyError(f"profile has no clock for {at.type}; use --device cpu")
    text = _text(loaded, model, prompt, tokens, chat_template=chat_template, system=system)
    notes = [*loaded.notes, *text.notes]

    tell("checking the model", 0, 1)
    ids = torch.tensor([text.ids], device=at)
    probe = ids[:, :_PROBE]
    parts = find_parts(loaded.model, probe)
    if parts.without_mlp:
        notes.append(f'the MLP of layers {parts.without_mlp} was not told apart, and is in "other"')
    reading = plan(loaded, probe, text, sites, None, None, notes) if sites else None
    chosen = chunk or chunk_tokens(
        model_size(loaded.model.config), loaded.model.dtype.itemsize,
        on_cpu=at.type == "cpu", free=available(at),
    )  # fmt: skip
    kept, told = probed(loaded, probe, len(text.ids), stats)
    notes += told
    sweeps, swept = sweeps_for(loaded, len(text.ids), tile="none", scores=False)
    chosen = min(chosen, len(text.ids))
    options = {"chunk": chosen, "stats": list(kept.names), "sites": list(sites)} | swept
    with ExitStack() as stack:
        folder = scratch or stack.enter_context(tempfile.TemporaryDirectory(prefix="attentropy-"))
        passes = Passes(
            loaded=loaded, text=text, ids=ids, chunk=chosen, parts=parts, stats=stats, kept=kept,
            sweeps=sweeps, reading=reading, folder=Path(folder),
            attrs=provenance(loaded, text, notes, options),
        )  # fmt: skip
        measured = _measured(passes, repeat, tell)
        tell("measuring the ceilings", 0, 1)
        trace = laid_out(measured, passes.chunks, parts, loaded, stats, sites)
        if scratch is None:
            trace.dataset.load()
    return trace


def _text(loaded: LoadedModel, model: Any, prompt: Any, tokens: int | None, **how: Any) -> Prompt:
    """The prompt, or random ids; short enough for the model."""
    config = loaded.model.config
    facts = config_facts(config)
    if prompt is None and tokens is None:
        if model is not None:
            raise UsageError("give a prompt with -p, -f, -m or --ids, or random ids with --tokens")
        prompt = demo.DEFAULT_PROMPT
    if tokens is not None:
        special = set(loaded.tokenizer.all_special_ids) if loaded.tokenizer else set()
        prompt = ordinary_ids(config, special, tokens)
    if loaded.tokenizer is not None:
        text = prepare(loaded.tokenizer, prompt, vocabulary=facts["vocabulary"], **how)
    elif isinstance(prompt, list) and all(type(token) is int for token in prompt):
        named = [f"[{token}]" for token in prompt]
        spans = [(0, 0)] * len(prompt)
        text = Prompt("", prompt, named, ["content"] * len(prompt), spans, False)
    else:
        raise UsageError(f"{loaded.name!r} has no tokenizer; give --ids or --tokens")
    if facts["positions"] is not None and len(text.ids) > facts["positions"]:
        raise UsageError(
            f"{len(text.ids)} tokens, and {loaded.name!r} has {facts['positions']} positions"
        )
    return text


def _measured(passes: Passes, repeat: int, tell: Progress) -> Measured:
    """Warm up, measure memory in a pass of its own, then time the variants in turns."""
    n = passes.ids.shape[1]
    attends: dict[str, Callable[..., AttentionResult]] = {RECORDING: attention, OFF: attention}
    clock, memory = Seconds(passes.device), Bytes(passes.device)
    backend = reason = None
    total, done = repeat * 3 + 1, 0
    tell("warming up", 0, 1)
    for name in (RECORDING, OFF):
        passes.through(clock, recording=name == RECORDING, chunks=2)
    try:
        backend = _backend(passes)
        attends[FUSED] = fused.fused(backend, n)
        passes.through(clock, recording=False, attend=attends[FUSED], chunks=2)
    except fused.NotFused as error:
        reason = str(error)
        attends.pop(FUSED, None)
    gc.collect()
    tell("measuring memory", done, total)
    weighed = passes.through(memory, recording=True, weighed=True)
    timed: dict[str, list[Pass]] = {name: [] for name in attends}
    order = list(attends)
    for round_ in range(repeat):
        for name in order[round_ % len(order) :] + order[: round_ % len(order)]:
            done += 1
            tell(f"timing: {name}, {round_ + 1} of {repeat}", done, total)
            timed[name].append(
                passes.through(clock, recording=name == RECORDING, attend=attends[name])
            )
    return Measured(
        passes=timed,
        weighed=weighed,
        clock=clock.clock,
        counter=memory.counter,
        backend=backend,
        reason=reason,
    )


def _backend(passes: Passes) -> str:
    """The faster of PyTorch's fused kernels for the model's own heads, from a short pass."""
    shapes: list[tuple[int, int, int]] = []

    def look(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> AttentionResult:
        fused.check(q, v, passes.ids.shape[1], **how)
        shapes.append((q.shape[1], k.shape[1], q.shape[-1]))
        return attention(q, k, v, **how)

    passes.through(Seconds(passes.device), recording=False, attend=look, chunks=1)
    heads, key_heads, size = max(shapes)
    return fused.fastest(
        heads, key_heads, size, passes.chunk, passes.ids.shape[1], passes.device,
        passes.loaded.model.dtype,
    )  # fmt: skip


__all__ = ["profile"]
