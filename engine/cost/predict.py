"""Describe a model from its configuration, and predict what a run over a prompt would take."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import torch
from transformers import PretrainedConfig

from attentropy.engine.cost.disk import DiskBytes, disk_bytes
from attentropy.engine.cost.memory import (
    MemoryBytes,
    alternatives,
    chunk_tokens,
    memory_bytes,
    questions_at_once,
)
from attentropy.engine.cost.options import CostOptions
from attentropy.engine.cost.reference import QUESTION_TOKENS, ReferenceSize
from attentropy.engine.cost.size import ModelSize, RecordingSize, RunSize, model_size
from attentropy.engine.cost.sources import SourcesPrediction, predict_sources
from attentropy.engine.cost.speed import duration, measure_rates
from attentropy.engine.errors import UsageError
from attentropy.engine.maps.thumbnails import keeps_thumbnails, thumbnail_side
from attentropy.engine.maps.windows import default_window, map_tile, rectangles
from attentropy.engine.model import source as model_source
from attentropy.engine.model.checkpoint import NO_MODEL, open_checkpoint
from attentropy.engine.model.classes import empty_model
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import free_bytes
from attentropy.engine.model.gguf import GgufHeader
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.prompt.placebo import QUESTIONS
from attentropy.engine.selection import select
from attentropy.engine.trace.text import count

_TEMPLATE = 32  # positions of a chat's template; only the prompt would give their true number


class RunFacts(TypedDict):
    """The run that a prediction is about.

    The placebo questions, its reference, are read after a prompt in a chat template; their tokens
    are those of a short template.
    """

    chunk: int | None
    answer_tokens: int
    lens_positions: int
    map_tile: list[int] | None
    thumbnail_tile: int | None
    reference_questions: int
    reference_tokens: int
    reference_passes: int


class MemoryPrediction(MemoryBytes):
    """The memory that a run takes on `device`, and what is available there.

    too_much: what would make the run fit, if it does not. peak_with_option_bytes: the peak with
    each option that lowers it.
    """

    device: str
    dtype: str
    available_bytes: int | None
    too_much: NotRequired[str]
    peak_with_option_bytes: dict[str, int]


class Prediction(TypedDict):
    """What a run would take: bytes of memory and on a disk, and seconds of each stage.

    sources: where the options name tests of sources; a prompt of the same length may need others.
    """

    run: RunFacts
    memory: MemoryPrediction
    disk: DiskBytes
    seconds: dict[str, float]
    sources: NotRequired[SourcesPrediction]


class PositionsCost(TypedDict):
    """The lens's cost at a number of positions."""

    positions: int
    flops: float
    of_the_forward_pass: float
    kept_bytes: int


# Two of its keys are phrases: they are printed as they are.
LensFacts = TypedDict(
    "LensFacts",
    {
        "tokens": int,
        "dtype": str,
        "parameters": int,
        "forward_flops": float,
        "by default": PositionsCost,
        "at every position": PositionsCost,
    },
)


def describe(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    tokens: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return what a model's configuration tells about it; no weights are loaded or needed.

    With `tokens`, also what a run over a prompt of that length takes: the lens of one site
    (`lens_facts`), and what `predict` returns for `options`, which are the fields of
    `CostOptions`.
    """
    source, name = model_source.resolve_source(model, weights=False)
    with open_checkpoint(source, name, revision, weights=False) as checkpoint:
        config, header = checkpoint.config, checkpoint.header
        facts = {"name": name, "revision": revision} | config_facts(config)
        if header is not None:
            facts["quantization"] = header.quantization
        with contextlib.nullcontext() if tokens is not None else contextlib.suppress(*NO_MODEL):
            empty = empty_model(config)
            facts |= {"positions": usable_positions(empty), "parameters": empty.num_parameters()}
        if tokens is None:
            return facts
        _check_length(name, facts["positions"], tokens)
        device = model_source.resolve_device(None)
        dtype = checkpoint.dtype(None, device)
        prediction = predict(config, tokens, CostOptions(**options), device, dtype, header)
        return {**facts, "lens": lens_facts(config, tokens), **prediction}


def _check_length(name: str, positions: int | None, tokens: int) -> None:
    """Raise `UsageError` where `extract` would refuse a prompt of that length."""
    if positions is not None and tokens > positions:
        raise UsageError(
            f"{name!r} supports only {count(positions, 'token')}, not {tokens:,}; "
            f"the most is `tokens={positions}`"
        )


def predict(
    config: PretrainedConfig,
    tokens: int,
    options: CostOptions,
    device: torch.device,
    dtype: torch.dtype,
    gguf: GgufHeader | None = None,
) -> Prediction:
    """Predict what a run over `tokens` tokens takes on `device`.

    gguf: what the header of the model's GGUF file says, None where it has none. The times follow
    from a short measurement of the machine. Raises `UsageError` for options that `extract` would
    refuse.
    """
    size = model_size(config, gguf)
    run = run_size(size, tokens, options, device, dtype)
    memory_facts = _predict_memory(size, run, device, dtype)
    rates = measure_rates(size, run, device, dtype)
    stages = duration(size, run, rates)
    prediction: Prediction = {
        "run": {
            "chunk": run.chunk,
            "answer_tokens": run.answer,
            "lens_positions": run.positions,
            "map_tile": list(run.recording.tile) if run.recording.tile else None,
            "thumbnail_tile": run.recording.thumbnails,
            "reference_questions": run.reference.questions,
            "reference_tokens": run.reference.tokens,
            "reference_passes": run.reference.passes,
        },
        "memory": memory_facts,
        "disk": disk_bytes(size, run),
        "seconds": {stage: round(cast(float, value), 3) for stage, value in stages.items()},
    }
    if (tests := predict_sources(size, run, options, rates)) is not None:
        prediction["sources"] = tests
    return prediction


def _predict_memory(
    size: ModelSize, run: RunSize, device: torch.device, dtype: torch.dtype
) -> MemoryPrediction:
    needed, free = memory_bytes(size, run), free_bytes(device)
    peaks = {
        option: memory_bytes(size, other)["peak_bytes"]
        for option, other in alternatives(size, run).items()
    }
    facts: dict[str, Any] = {"device": device.type, "dtype": str(dtype).removeprefix("torch.")}
    facts |= {**needed, "available_bytes": free}
    if free is not None and needed["peak_bytes"] > free:
        fitting = [option for option, peak in peaks.items() if peak <= free]
        elsewhere = (
            'another device, or `device="auto"`' if device.type == "cpu" else '`device="cpu"`'
        )
        facts["too_much"] = f"it fits with {fitting[0] if fitting else elsewhere}"
    return cast(MemoryPrediction, facts | {"peak_with_option_bytes": peaks})


def run_size(
    size: ModelSize, tokens: int, options: CostOptions, device: torch.device, dtype: torch.dtype
) -> RunSize:
    """Return the size of the run that `extract` would make of a prompt of `tokens` tokens."""
    sites = [*options.lens, *(["translated"] if options.lens_translator is not None else [])]
    on_cpu, item = device.type == "cpu", dtype.itemsize
    layers = len(select(options.lens_layers, size.layers, "lens_layers"))
    lens = replace(size.lens(item, len(sites)), layers=layers)
    if not sites:
        positions = 0
    elif options.lens_positions is None:
        positions = lens.budget(tokens)
    else:
        words = {"template": range(min(tokens, _TEMPLATE))}
        positions = len(select(options.lens_positions, tokens, "lens_positions", words))
    answer = options.max_new_tokens
    if size.positions is not None:
        answer = max(0, min(answer, size.positions - tokens))
    is_all = options.lens_positions == "all"
    run = RunSize(
        tokens, item, positions, len(sites), on_cpu=on_cpu,
        recording=_recording_size(size, tokens, options), answer=answer,
        answer_positions=(answer if is_all else len(lens.of_answer(answer))) if sites else 0,
    )  # fmt: skip
    chunk = options.chunk
    if chunk is None:
        states = len(options.lens) * layers * size.width * item
        free = free_bytes(device)
        chunk = chunk_tokens(size, item, on_cpu=on_cpu, states=states, free=free)
    chunk, reference = min(chunk, tokens), ReferenceSize()
    if sites and options.reference:
        reference = ReferenceSize(len(QUESTIONS), questions_at_once(chunk, QUESTION_TOKENS))
    return replace(run, chunk=chunk, reference=reference)


def _recording_size(size: ModelSize, tokens: int, options: CostOptions) -> RecordingSize:
    heads = None
    if options.heads == "mean":
        heads = 1
    elif options.heads != "all":
        heads = len(select(options.heads, size.heads, "heads"))
    per_head = options.map_heads == "all"
    requested = rectangles(options.windows, tokens, size.layers, size.heads)
    layers = len(select(options.layers, size.layers, "layers"))
    tile = map_tile(options.map_tile, tokens, size.layers, size.heads if per_head else 1)
    pictures = layers * (size.heads if heads is None else heads) if options.stats else 0
    has_pictures = keeps_thumbnails(
        options.thumbnails, tokens, pictures, is_swept=options.map_tile != "none"
    )
    return RecordingSize(
        stats=options.stats,
        layers=layers,
        heads=heads,
        tile=tile,
        thumbnails=thumbnail_side(tokens, tile and tile[0]) if has_pictures else None,
        map_per_head=per_head,
        received=options.map_tile != "none",
        scores=options.scores,
        rectangles=(default_window(tokens, size.layers, size.heads), *requested),
        itemsize=2 if options.storage == "float16" else 4,
        token_logprob=options.token_logprob,
        context=options.context and bool(options.stats),
    )


def lens_facts(config: PretrainedConfig, tokens: int) -> LensFacts:
    """Return the cost of a lens at the residual site over `tokens` tokens.

    By default and at every position: floating-point operations, also compared with the model's own
    (2 × parameters × tokens, all experts counted), and bytes of the states kept for it. Each
    further site costs as much again. The parameters are counted on a model without weights.
    """
    own_dtype = getattr(config.get_text_config(), "dtype", None) or torch.float32
    size = model_size(config).lens(own_dtype.itemsize, sites=1)

    def cost_at(positions: int) -> PositionsCost:
        cost = size.cost(positions, tokens)
        return {
            "positions": positions,
            "flops": cost.flops,
            "of_the_forward_pass": round(cost.flops / cost.forward_flops, 3),
            "kept_bytes": int(cost.kept_bytes),
        }

    return {
        "tokens": tokens,
        "dtype": str(own_dtype).removeprefix("torch."),
        "parameters": size.parameters,
        "forward_flops": size.cost(0, tokens).forward_flops,
        "by default": cost_at(size.budget(tokens)),
        "at every position": cost_at(tokens),
    }
