"""Where a prompt's time and memory go, layer by layer, and what recording adds to them.

The same ids are read in chunks through the cache, pass after pass in turns: recorded; with nothing
recorded; and on PyTorch's fused attention. Every pass is measured by the same hooks.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine import demo, fused, prefill
from attentropy.engine.attention_hook import Listener
from attentropy.engine.chat import Messages
from attentropy.engine.configuration import config_facts
from attentropy.engine.cost import available, chunk_tokens, model_size
from attentropy.engine.devices import input_device, names
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens_plan import check_sites
from attentropy.engine.masks import Visibility
from attentropy.engine.models import LoadedModel, given, load, with_random_weights
from attentropy.engine.parts import Parts, attending, find_parts, ordinary_ids, watched
from attentropy.engine.profile_results import FUSED, OFF, RECORDING, Measured, Pass, laid_out
from attentropy.engine.prompts import Prompt, prepare
from attentropy.engine.reading import FINAL, Reading, plan
from attentropy.engine.recorder import Recorder, record
from attentropy.engine.selfcheck import checked, listening
from attentropy.engine.sites import kept
from attentropy.engine.timing import Bytes, Gauge, Seconds, peak_bytes
from attentropy.engine.trace import Trace
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
    progress: Progress | None = None,
) -> Trace:
    """Measure `model` over `prompt`, or over `tokens` random ordinary ids; the trace holds the
    statistics that were recorded, `profile_seconds`, `profile_bytes` and attrs["profile"].

    model, tokenizer, prompt and placement are those of `extract`; random_weights: see
    `with_random_weights`. chunk: tokens of a pass through the cache, by default from the memory
    that is free. stats: what is recorded; sites: what the lens reads, by default nothing. Each
    variant is measured `repeat` times after a warm-up.

    Raises `UsageError` and `AttentropyError` as `extract` does, and for a model on several devices.
    """
    sites = check_sites(sites)
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
    run = _Run(loaded.model, ids, min(chosen, len(text.ids)), parts, tuple(stats), reading)
    measured = _measured(run, repeat, tell)
    tell("measuring the ceilings", 0, 1)
    return laid_out(measured, run.chunks, parts, loaded, text, tuple(stats), sites, notes)


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


class _Heard(Listener):
    """Hears the calls of a pass: hands them to the recorder, if there is one."""

    impl = None

    def __init__(self, gauge: Gauge, recorder: Recorder | None, *, counts: bool) -> None:
        self.stats = recorder.stats if recorder is not None else ()
        self.gauge, self.recorder, self.counts = gauge, recorder, counts
        self.flops = 0.0

    def heard(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """See `attention_hook.Listener`."""
        if self.recorder is not None:
            with self.gauge.within("writing"):
                self.recorder.heard(module, tensors, seen, score, result)
        if self.counts:  # two products for each pair of query and key
            query, _, value = tensors
            sizes = query.shape[1] * (query.shape[-1] + value.shape[-1])
            self.flops += 2.0 * sizes * int(seen.counts(query.shape[0]).sum())


@dataclass(frozen=True)
class _Run:
    """What all passes have in common."""

    model: Any
    ids: Tensor
    chunk: int
    parts: Parts
    stats: tuple[str, ...]
    reading: Reading | None

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """(start, stop) of each."""
        return prefill.bounds(self.ids.shape[1], self.chunk)

    def through(
        self,
        gauge: Gauge,
        *,
        recording: bool,
        attend: Callable[..., AttentionResult] = attention,
        counts: bool = False,
        chunks: int | None = None,
    ) -> Pass:
        """One pass over the first `chunks`, by default all, with an empty cache."""
        spans = self.chunks[:chunks]
        made = Pass()
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.device.type == "cuda":
                stack.enter_context(torch.cuda.device(self.device))
            start = peak_bytes(self.device.type, reset=True)
            states: dict[str, list[Tensor | None]] = {}
            if recording:
                length = spans[-1][1]
                made.recorder = stack.enter_context(
                    record(self.model, stats=self.stats, length=length)
                )
                if self.reading is not None:
                    states = stack.enter_context(kept(self.reading.points))
            heard = _Heard(gauge, made.recorder, counts=counts)
            built = checked(self.model).masks_built
            stack.enter_context(listening(self.model, heard, masks_built=built))
            stack.enter_context(attending(gauge, attend))
            stack.enter_context(watched(self.parts, gauge))
            cache: Any = None
            for first, last in spans:
                begun = time.perf_counter()
                gauge.enter("rest")
                output = prefill.read(self.model, self.ids, first, last, cache)
                cache = getattr(output, "past_key_values", None)
                if states:
                    self._read_lens(gauge, states, first, last)
                gauge.leave()
                gauge.wait()
                made.seconds.append(time.perf_counter() - begun)
                made.chunks.append(gauge.read())
                if cache is None and last < spans[-1][1]:
                    raise AttentropyError(
                        f"{type(self.model).__name__} keeps no cache, so it reads the prompt in "
                        f"one pass: --chunk {self.ids.shape[1]}"
                    )
            made.peak_bytes = max(0, peak_bytes(self.device.type) - start)
        made.kernel_flops = heard.flops
        return made

    def _read_lens(
        self, gauge: Gauge, states: dict[str, list[Tensor | None]], first: int, last: int
    ) -> None:
        """The lens of a chunk's states, which live no longer."""
        assert self.reading is not None
        at = [i - first for i in self.reading.positions if first <= i < last]
        final = states[FINAL][-1]
        assert final is not None
        if not at:
            return
        rows, lens = torch.tensor(at, device=final.device), self.reading.lens
        with gauge.within("lens", len(self.parts.layers) - 1):
            final = final[rows]
            predicted = lens.read(final, top_k=1).top_ids[:, 0]
        for site in self.reading.sites:
            for layer in self.reading.layers:
                state, states[site][layer] = states[site][layer], None
                if state is None:
                    continue
                with gauge.within("lens", layer):
                    found = lens.read(state[rows], targets=predicted, final=final)
                with gauge.within("writing", layer):
                    for value in vars(found).values():
                        _ = value.cpu() if value is not None else None


def _measured(run: _Run, repeat: int, tell: Progress) -> Measured:
    """Warm up, measure memory in a pass of its own, then time the variants in turns."""
    n = run.ids.shape[1]
    attends: dict[str, Callable[..., AttentionResult]] = {RECORDING: attention, OFF: attention}
    clock, memory = Seconds(run.device), Bytes(run.device)
    backend = reason = None
    total, done = repeat * 3 + 1, 0
    tell("warming up", 0, 1)
    for name in (RECORDING, OFF):
        run.through(clock, recording=name == RECORDING, chunks=2)
    try:
        backend = _backend(run)
        attends[FUSED] = fused.fused(backend, n)
        run.through(clock, recording=False, attend=attends[FUSED], chunks=2)
    except fused.NotFused as error:
        reason = str(error)
        attends.pop(FUSED, None)
    gc.collect()
    tell("measuring memory", done, total)
    weighed = run.through(memory, recording=True, counts=True)
    passes: dict[str, list[Pass]] = {name: [] for name in attends}
    order = list(attends)
    for round_ in range(repeat):
        for name in order[round_ % len(order) :] + order[: round_ % len(order)]:
            done += 1
            tell(f"timing: {name}, {round_ + 1} of {repeat}", done, total)
            made = run.through(clock, recording=name == RECORDING, attend=attends[name])
            made.recorder = None  # that of the pass before has the same values
            passes[name].append(made)
    return Measured(
        passes=passes,
        weighed=weighed,
        clock=clock.clock,
        counter=memory.counter,
        backend=backend,
        reason=reason,
    )


def _backend(run: _Run) -> str:
    """The faster of PyTorch's fused kernels for the model's own heads, from a short pass."""
    shapes: list[tuple[int, int, int]] = []

    def look(q: Tensor, k: Tensor, v: Tensor, **how: Any) -> AttentionResult:
        fused.check(q, v, run.ids.shape[1], **how)
        shapes.append((q.shape[1], k.shape[1], q.shape[-1]))
        return attention(q, k, v, **how)

    run.through(Seconds(run.device), recording=False, attend=look, chunks=1)
    heads, key_heads, size = max(shapes)
    return fused.fastest(
        heads, key_heads, size, run.chunk, run.ids.shape[1], run.device, run.model.dtype
    )


__all__ = ["profile"]
