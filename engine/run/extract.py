"""The whole job in one call: a model and a prompt in, a trace out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine import demo
from attentropy.engine.attention.kept import check_heads, check_stats, entries_of_layers
from attentropy.engine.attention.recorder import check_same_outputs
from attentropy.engine.attention.statistics import KEPT_STATS
from attentropy.engine.cost.memory import FEWEST
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens.arrays import LensArrays
from attentropy.engine.lens.budget import check_sites
from attentropy.engine.lens.plan import Reading, plan
from attentropy.engine.maps.plan import check_options, sweeps_for
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import available, input_device
from attentropy.engine.model.load import LoadedModel, given, load
from attentropy.engine.prompt.messages import Messages
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.run import prefill
from attentropy.engine.run.answer import answer_arrays, greedy, vocabulary_arrays
from attentropy.engine.run.job import Job, chosen
from attentropy.engine.run.passes import Run, computed, probed
from attentropy.engine.run.provenance import provenance
from attentropy.engine.selection import check_selection
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.layout import CHUNK_LENGTH
from attentropy.engine.trace.partial import Partial

# A trace that nobody keeps goes to a disk from so many bytes on.
SCRATCH_BYTES = 256 * 2**20

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
    sites = check_sites(sites)
    check_selection(lens_layers, "lens layers")
    check_selection(lens_positions, "lens positions", ("all", "template"))
    check_selection(layers, "layers")
    check_heads(heads)
    names = check_stats(stats)
    check_options(map_tile, map_heads, windows)
    if max_new_tokens < 0 or top_k < 1:
        raise UsageError("max_new_tokens must be 0 or more, top_k 1 or more")
    if (chunk is not None and chunk < 1) or (memory is not None and memory < 1):
        raise UsageError("chunk and memory must be 1 or more")
    if storage not in ("float32", "float16"):
        raise UsageError(f"storage is float32 or float16, not {storage!r}")
    partial = chosen(output, force=force, resume=resume, keep_cache=keep_cache)
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
    kept, told = probed(loaded, probe, len(text.ids), names, layers, heads)
    notes += told
    begun = partial.run() if partial is not None and resume else {}
    keep_cache = keep_cache or begun.get("keep_cache") is True
    if keep_cache:
        prefill.check_keepable(loaded.model, probe)
    sweeps, swept = sweeps_for(
        loaded, len(text.ids), recorded=kept.layers, tile=map_tile, map_heads=map_heads,
        windows=windows, scores=scores,
    )  # fmt: skip
    if chunk is None and type(begun.get("asked")) is int:
        chunk = begun["asked"]
    asked = _asked(loaded, ids, reading, chunk, memory)
    chunk, step = _chunk(loaded, ids, asked, sweeps.tile, notes)
    lens = (
        LensArrays(reading, text, loaded.tokenizer, entries_of_layers(kept), top_k)
        if reading is not None
        else None
    )
    run = Run(
        loaded=loaded, text=text, ids=ids, chunk=chunk, step=step, stats=computed(names), kept=kept,
        sweeps=sweeps, lens=lens, storage=storage, asked=asked, keep_cache=keep_cache, tell=tell,
        gauge=Gauge(),
    )  # fmt: skip
    options = {
        "chat_template": chat_template, "max_new_tokens": max_new_tokens, "top_k": top_k,
        "stats": list(kept.names), "layers": layers or "all", "heads": heads,
        "sites": list(sites), "lens_layers": lens_layers or "all",
        "lens_positions": lens_positions or "within the budget", "storage": storage,
        "chunk": chunk, "attention_window_tokens": len(text.ids),
    } | swept  # fmt: skip
    attrs = provenance(loaded, text, notes, options)

    if scratch is not None and sum(made.nbytes for made in run.fields.values()) > SCRATCH_BYTES:
        partial = Partial(Path(scratch) / "trace.zarr", temporary=True)
    with Job(run, partial, attrs, begun, memory) as job:
        output_of_last = job.read()
        tell("answering", 0, 1)
        answer = greedy(loaded, ids, output_of_last, max_new_tokens)
        del output_of_last
        arrays = answer_arrays(loaded, answer)
        content = arrays["generated_content"][1].astype(bool)
        said = [token for (token, _), is_content in zip(answer, content, strict=True) if is_content]
        if lens is not None:
            tell("looking for the answer", 0, 1)
            lens.rehearse(job.sink, said, step)
            arrays |= vocabulary_arrays(lens.vocabulary)
        words = [
            str(t) for t, keep in zip(arrays["generated_text"][1], content, strict=True) if keep
        ]
        trace = job.finish(arrays, {"answer": "".join(words).strip()})
    tell("done", 1, 1)
    return trace


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


def _asked(
    loaded: LoadedModel,
    ids: Tensor,
    reading: Reading | None,
    chunk: int | None,
    memory: int | None,
) -> int:
    """Tokens that a pass is to have: `chunk`, or as many as fit well."""
    if chunk is not None:
        return chunk
    if memory is None and ids.shape[1] <= FEWEST:
        return ids.shape[1]
    states = reading.bytes_of_token() if reading is not None else 0
    return prefill.chunk_tokens(loaded.model, ids.device, states, memory, available(ids.device))


def _chunk(
    loaded: LoadedModel, ids: Tensor, asked: int, tile: tuple[int, int] | None, notes: list[str]
) -> tuple[int, int]:
    """Tokens of a pass, and of a stored chunk: the same, but where the prompt has to be read in one
    pass, which is noted. Passes begin at whole tiles."""
    n = ids.shape[1]
    if tile is not None:
        asked = max(1, asked // tile[0]) * tile[0]
    if n <= asked:
        return n, n
    why = prefill.why_whole(loaded.model, ids)
    if why is None:
        return asked, asked
    notes.append(f"the prompt was read in one pass: {why}")
    return n, min(n, CHUNK_LENGTH)


__all__ = ["AttentropyError", "extract"]
