"""Profile a prompt: where its time and memory go, layer by layer, and what recording adds to them.

The same ids are read in chunks through the cache, pass after pass in turns: recorded as `extract`
does it, into a folder on the disk; with nothing recorded; and on PyTorch's fused attention. Every
pass is measured by the same hooks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from attentropy.engine.arguments import Names, read_count, read_torch_name
from attentropy.engine.attention.plan import read_stats
from attentropy.engine.cost.memory import chunk_tokens
from attentropy.engine.cost.size import model_size
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens.budget import read_sites
from attentropy.engine.model.devices import device_names, free_bytes, input_device
from attentropy.engine.model.load import LoadedModel, load, with_random_weights, wrap_loaded
from attentropy.engine.model.sandbox import one_child
from attentropy.engine.profile.measurement import Progress, measure_variants
from attentropy.engine.profile.parts import find_parts
from attentropy.engine.profile.passes import Passes
from attentropy.engine.profile.prompt import profile_prompt
from attentropy.engine.profile.recorded_run import PROBE_TOKENS, plan_run
from attentropy.engine.profile.results import profile_trace
from attentropy.engine.prompt.prepare import Prompt, PromptLike
from attentropy.engine.trace.dataset import Trace


def profile(
    model: str | Path | PreTrainedModel | None = None,
    prompt: PromptLike | None = None,
    *,
    tokenizer: Any = None,
    tokens: int | str | None = None,
    chunk: int | str | None = None,
    random_weights: bool = False,
    stats: Names = "entropy",
    lens: Names = "none",
    repeat: int = 3,
    chat_template: bool = True,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
    revision: str | None = None,
    dtype: Any = None,
    device: Any = None,
    quantize: str | None = None,
    scratch: str | Path | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Measure the time and memory of each layer of a model, and what recording costs.

    The prompt is read in passes of three variants, in turns: recorded as `extract` does it (with
    its default exact window, but no map and no head scores), without recording, and on PyTorch's
    fused attention.

    Args:
        model: A hub id, a local folder, or a transformers model that is loaded already; None for
            the embedded model.
        prompt: The prompt, as in `extract`. Leave it out if `tokens` is given.
        tokenizer: The tokenizer of a loaded model; not needed with `tokens`.
        tokens: Length of a prompt of random token ids, such as 4096 or "4k".
        chunk: Number of tokens per forward pass; by default what fits in the free memory.
        random_weights: Measure the model with random weights, without loading its own.
        stats: Attention statistics to record: "entropy" or more, as in `extract`.
        lens: Where the logit lens reads each layer, as in `extract`; by default nowhere.
        repeat: Number of measured passes per variant, after a warm-up.
        chat_template: Whether a text goes through the chat template.
        system: A system turn before the prompt.
        question: A question about the prompt, as in `extract`.
        tools: Tools for the chat template, as in `extract`.
        template_args: Other arguments for the chat template, as in `extract`.
        revision: Branch, tag or commit of a hub model.
        dtype: Weight dtype, as in `extract`.
        device: "cpu", "cuda" or "cuda:1"; one device only.
        quantize: "4bit" or "8bit" weights (bitsandbytes).
        scratch: A folder that keeps the recorded trace; by default a temporary one is used and
            the trace is loaded into memory.
        progress: Called as progress(stage, done, total).

    Returns:
        A trace of the recorded statistics with two more variables, both [chunk, layer, part]:
        `trace["profile_seconds"]` in seconds and `trace["profile_bytes"]`, the peak memory in
        bytes. `trace.attrs["profile"]` has the totals and ratios of the variants.

    Raises:
        UsageError: An argument that cannot work; the message names it in backticks.
        AttentropyError: The model cannot be recorded exactly, or is on several devices or on one
            that cannot be timed.

    Examples:
        >>> from attentropy.engine.profile.profile import profile
        >>> trace = profile(tokens=64, repeat=1)
        >>> trace["profile_seconds"].shape[1]  # layers
        8
        >>> trace.attrs["profile"]["tokens"]
        64
    """
    sites, kept_stats = read_sites(lens, ()), read_stats(stats, ("entropy",))
    repeat = read_count(repeat, "repeat")
    chunk = None if chunk is None else read_count(chunk, "chunk")
    tokens = None if tokens is None else read_count(tokens, "tokens")
    dtype, device = read_torch_name(dtype), read_torch_name(device)
    if tokens is not None and prompt is not None:
        raise UsageError(
            "`tokens` makes a random prompt, so no other prompt can be given; leave one of them out"
        )
    show = progress or (lambda stage, done, total: None)
    show("loading the model", 0, 1)
    with one_child():
        loaded = _load(
            model, tokenizer, random_weights=random_weights, revision=revision, dtype=dtype,
            device=device, quantize=quantize,
        )  # fmt: skip
        _check_device(loaded)
        text = profile_prompt(
            loaded, model, prompt, tokens, chat_template=chat_template, system=system,
            question=question, tools=tools, template_args=template_args,
        )  # fmt: skip
    show("checking the model", 0, 1)
    with ExitStack() as stack:
        folder = scratch or stack.enter_context(tempfile.TemporaryDirectory(prefix="attentropy-"))
        passes = _plan_passes(loaded, text, chunk, kept_stats, sites, Path(folder))
        measurement = measure_variants(passes, repeat, show)
        show("measuring the upper bounds", 0, 1)
        trace = profile_trace(
            measurement, passes.run.chunks, passes.parts, loaded, kept_stats, sites
        )
        if scratch is None:
            trace.dataset.load()
    return trace


def _load(
    model: str | Path | PreTrainedModel | None,
    tokenizer: Any,
    *,
    random_weights: bool,
    revision: str | None,
    dtype: str | None,
    device: str | None,
    quantize: str | None,
) -> LoadedModel:
    if isinstance(model, PreTrainedModel):
        if tokenizer:
            return wrap_loaded(model, tokenizer)
        return LoadedModel(model, None, type(model).__name__, None)
    if random_weights:
        if quantize is not None:
            raise UsageError("random weights cannot be quantised; leave `quantize` out")
        return with_random_weights(model, revision=revision, dtype=dtype, device=device)
    return load(model, revision=revision, dtype=dtype, device=device, quantize=quantize)


def _check_device(loaded: LoadedModel) -> None:
    """Raise `AttentropyError` for a model on several devices, or on one that has no clock here."""
    if len(devices := device_names(loaded.model)) > 1:
        raise AttentropyError(
            f"profile measures a single device, but the model is on {len(devices)}"
        )
    device = input_device(loaded.model)
    if device.type not in ("cpu", "cuda"):
        raise AttentropyError(f'profile cannot time {device.type}; use `device="cpu"`')


def _plan_passes(
    loaded: LoadedModel,
    text: Prompt,
    chunk: int | None,
    stats: tuple[str, ...],
    sites: tuple[str, ...],
    folder: Path,
) -> Passes:
    """Check the model, and decide what every pass records and where its parts are."""
    device = input_device(loaded.model)
    ids = torch.tensor([text.ids], device=device)
    notes = [*loaded.notes, *text.notes]
    parts = find_parts(loaded.model, ids[:, :PROBE_TOKENS])
    if parts.without_mlp:
        name = "layer" if len(parts.without_mlp) == 1 else "layers"
        listed = ", ".join(map(str, parts.without_mlp))
        notes.append(f'the MLP of {name} {listed} is not timed separately, but in "other"')
    chunk = chunk or chunk_tokens(
        model_size(loaded.model.config), loaded.model.dtype.itemsize,
        on_cpu=device.type == "cpu", free=free_bytes(device),
    )  # fmt: skip
    run = plan_run(loaded, text, ids, min(chunk, len(text.ids)), stats, sites, notes, folder)
    return Passes(run, parts)
