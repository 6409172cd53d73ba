"""The whole job in one call: a model and a prompt in, a trace out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from transformers import PreTrainedModel

import attentropy
from attentropy.engine import demo
from attentropy.engine.assemble import attention_trace, text_array
from attentropy.engine.chat import Messages
from attentropy.engine.devices import input_device, names
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens_arrays import with_lens
from attentropy.engine.lens_plan import check_selection, check_sites
from attentropy.engine.models import LoadedModel, config_facts, given, load, tokenizer_facts
from attentropy.engine.prompts import Prompt, prepare
from attentropy.engine.reading import plan
from attentropy.engine.recorder import DEFAULT_STATS, check_same_outputs, record
from attentropy.engine.rehearsal import content_steps
from attentropy.engine.sweep_plan import check_options, sweeps_for
from attentropy.engine.tokens import vocabulary_text
from attentropy.engine.trace import Trace

_PROBE_TOKENS = 16

Progress = Callable[[str, int, int], None]


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
    stats: Sequence[str] = DEFAULT_STATS,
    sites: Sequence[str] = ("residual",),
    lens_layers: str | None = None,
    lens_positions: str | None = None,
    map_tile: str = "auto",
    map_heads: str = "mean",
    windows: Sequence[str] = (),
    scores: bool = True,
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
    default all layers, and positions up to the budget of `LensSize.budget`. `map_tile`: of the
    token × token map, "auto", "none", "64" or "64x32" (queries by keys), see `windows.map_tile`;
    its `map_heads` are the "mean" or "all". `windows`: rectangles of exact weights, as in
    "-64:,0:512" (queries, keys). `scores`: those of the heads, for which the model also reads a
    short text of repeated random tokens.
    `progress(stage, done, total)` is called as it goes.

    Raises `UsageError` for arguments that cannot work, `AttentropyError` for a model that cannot
    be recorded; a lens that cannot be read is left out and noted in the trace.
    """
    sites = check_sites(sites)
    check_selection(lens_layers, "lens layers")
    check_selection(lens_positions, "lens positions", ("all", "template"))
    check_options(map_tile, map_heads, windows)
    if max_new_tokens < 0 or top_k < 1:
        raise UsageError("max_new_tokens must be 0 or more, top_k 1 or more")
    if prompt is None:
        if model is not None:
            raise UsageError("give a prompt with -p, -f or -m")
        prompt = demo.DEFAULT_PROMPT
    tell = progress or (lambda stage, done, total: None)
    tell("loading the model", 0, 1)
    placement = {"revision": revision, "dtype": dtype, "device": device, "quantize": quantize}
    loaded = _loaded(model, tokenizer, placement)
    text = prepare(
        loaded.tokenizer,
        prompt,
        chat_template=chat_template,
        system=system,
        vocabulary=config_facts(loaded.model.config)["vocabulary"],
    )
    _check_length(loaded, len(text.ids))
    ids = torch.tensor([text.ids], device=input_device(loaded.model))
    notes = [*loaded.notes, *text.notes]

    tell("checking the model", 0, 1)
    probe = ids[:, :_PROBE_TOKENS]
    check_same_outputs(loaded.model, probe)
    reading = (
        plan(loaded, probe, text, sites, lens_layers, lens_positions, notes) if sites else None
    )

    sweeps, kept = sweeps_for(
        loaded, len(text.ids), tile=map_tile, map_heads=map_heads, windows=windows, scores=scores
    )

    tell("reading the prompt", 0, 1)
    with (
        torch.no_grad(),
        record(loaded.model, stats=tuple(stats), sweeps=sweeps) as recorder,
        reading.kept() if reading is not None else nullcontext({}) as states,
    ):
        output = loaded.model(ids, use_cache=True, logits_to_keep=1)
    answer = _continue(loaded, ids, output, max_new_tokens)

    coords = _token_coordinates(text)
    trace = attention_trace(recorder, coords)
    data = trace.dataset
    data = data.assign(_answer_arrays(loaded, answer)).set_coords("generated_text")
    if reading is not None:
        data = with_lens(data, loaded, reading, states, answer, text, top_k, tell)
    options = {
        "chat_template": chat_template, "max_new_tokens": max_new_tokens, "top_k": top_k,
        "stats": list(stats), "sites": list(sites), "lens_layers": lens_layers or "all",
        "lens_positions": lens_positions or "within the budget",
        "attention_window_tokens": len(text.ids),
    } | kept  # fmt: skip
    attrs = _provenance(loaded, text, data, notes, options)
    return Trace(data.assign_attrs(attrs))


def _loaded(model: Any, tokenizer: Any, placement: dict[str, str | None]) -> LoadedModel:
    if isinstance(model, PreTrainedModel):
        if chosen := [name for name, value in placement.items() if value is not None]:
            raise UsageError(f"{chosen[0]} is for a model to load, and this one is loaded already")
        return given(model, tokenizer)
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


def _continue(loaded: LoadedModel, ids: Tensor, output: Any, steps: int) -> list[tuple[int, float]]:
    """Greedy continuation through the cache: (id, ln P) of each generated token, at most `steps`.

    Stops after the end of turn, and at the model's last position.
    """
    ends = _end_ids(loaded)
    positions = config_facts(loaded.model.config)["positions"]
    if positions is not None:
        steps = min(steps, positions - ids.shape[1] + 1)
    generated: list[tuple[int, float]] = []
    cache = getattr(output, "past_key_values", None)
    logits = output.logits[:, -1]
    sequence = ids
    with torch.no_grad():
        while len(generated) < steps:
            logprobs = logits.float().log_softmax(-1)
            token = int(logprobs.argmax(-1))
            generated.append((token, float(logprobs[0, token])))
            if token in ends or len(generated) == steps:
                break
            new = torch.tensor([[token]], device=ids.device)
            sequence = torch.cat([sequence, new], 1)
            if cache is None:
                output = loaded.model(sequence, use_cache=False, logits_to_keep=1)
            else:
                output = loaded.model(new, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache = output.past_key_values
            logits = output.logits[:, -1]
    return generated


def _end_ids(loaded: LoadedModel) -> set[int]:
    ends: set[int | None] = set()
    generation = getattr(loaded.model, "generation_config", None)
    for holder in (generation, loaded.model.config, loaded.tokenizer):
        value = getattr(holder, "eos_token_id", None)
        ends |= set(value) if isinstance(value, (list, tuple)) else {value}
    return {int(i) for i in ends if i is not None}


def _token_coordinates(text: Prompt) -> dict[str, Any]:
    n = len(text.ids)
    return {
        "position": ("position", np.arange(n, dtype=np.int32)),
        "token_ids": ("position", np.array(text.ids, np.int32)),
        "token_text": ("position", text_array(text.tokens)),
        "role": ("position", text_array(text.roles)),
        "byte_start": ("position", np.array([a for a, _ in text.spans], np.int64)),
        "byte_end": ("position", np.array([b for _, b in text.spans], np.int64)),
    }


def _answer_arrays(loaded: LoadedModel, answer: list[tuple[int, float]]) -> dict[str, Any]:
    ids = [token for token, _ in answer]
    texts = vocabulary_text(loaded.tokenizer, ids)
    content = content_steps(ids, texts, set(loaded.tokenizer.all_special_ids), _end_ids(loaded))
    return {
        "generated_ids": ("step", np.array(ids, np.int32)),
        "generated_logprob": ("step", np.array([p for _, p in answer], np.float32)),
        "generated_content": ("step", np.array(content, np.int8)),
        "generated_text": ("step", text_array(texts)),
    }


def _provenance(
    loaded: LoadedModel,
    text: Prompt,
    data: xr.Dataset,
    notes: list[str],
    options: dict[str, Any],
) -> dict[str, Any]:
    model = loaded.model
    devices = names(model)
    facts = config_facts(model.config) | {
        "name": loaded.name,
        "revision": loaded.revision,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": devices[0].split(":")[0] if len(devices) == 1 else ", ".join(devices),
    }
    end = data["generated_content"].values
    words = [str(t) for t, keep in zip(data["generated_text"].values, end, strict=True) if keep]
    return {
        "model": facts,
        "tokenizer": tokenizer_facts(loaded.tokenizer),
        "prompt": {"sha256": text.sha256, "tokens": len(text.ids), "chat": text.chat},
        "answer": "".join(words).strip(),
        "implementation": "triton" if input_device(model).type == "cuda" else "portable",
        "versions": _versions(),
        "options": options,
        "notes": notes,
    }


def _versions() -> dict[str, str]:
    found = {"attentropy": attentropy.__version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "triton", "tokenizers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


__all__ = ["AttentropyError", "extract"]
