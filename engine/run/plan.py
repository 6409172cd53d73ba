"""Plan a run: everything that is decided before the prompt's first chunk is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.plan import (
    NO_STATS,
    AttentionPlan,
    first_entries,
)
from attentropy.engine.cost.memory import SMALLEST_DEFAULT_CHUNK
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.arrays import LensArrays
from attentropy.engine.lens.head import checked_lens
from attentropy.engine.lens.plan import LensPlan
from attentropy.engine.lens.plan import plan_lens as plan_lens
from attentropy.engine.lens.token_logprobs import TokenLogprobs
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.windows import Tile
from attentropy.engine.model.devices import free_bytes, input_device
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.provenance import describe_run, provenance
from attentropy.engine.run import prefill
from attentropy.engine.run.answer import with_room
from attentropy.engine.run.attention import both_ways, check_attention, plan_recording
from attentropy.engine.run.decode import GREEDY, Sampling
from attentropy.engine.run.options import Options
from attentropy.engine.run.probe import RunProbe, probe_ids
from attentropy.engine.run.resuming import keep_implementation
from attentropy.engine.trace import store
from attentropy.engine.trace.layout import CHUNK_LENGTH, ArrayLayout, array_layout
from attentropy.engine.trace.statistics import TOKEN_LOGPROB

# Tokens that are generated before they are read, and recorded, in one pass.
ANSWER_BLOCK = 512


@dataclass(frozen=True)
class RunPlan:
    """What a run does, decided before the first token.

    ids [1, N]. `chunk` tokens are read in a pass, `step` stored in a chunk; `requested_chunk` is
    the number that both were made from. `stats` are computed, `attention` says what stays of them.
    `is_causal`: no token sees those after it, so the model predicts the next one. `keep_cache`: the
    keys and values of each chunk go next to its commit. `memory`: bytes that the run may hold, None
    where nobody has said. `attrs` are the trace's.

    At most `room` tokens are generated, as `sampling` says, and read in blocks of `block`. Where
    the model does not continue from its cache (`why_whole` says why), the answer is generated
    first, and read together with the prompt in one pass.
    """

    loaded: LoadedModel
    text: Prompt
    ids: Tensor
    chunk: int
    step: int
    requested_chunk: int
    stats: tuple[str, ...]
    attention: AttentionPlan
    sweeps: Sweeps
    lens: LensArrays | None
    attrs: Mapping[str, Any]
    token_logprobs: TokenLogprobs | None = None
    is_causal: bool = True
    storage: str = "float32"
    keep_cache: bool = False
    memory: int | None = None
    room: int = 0
    block: int = ANSWER_BLOCK
    sampling: Sampling = GREEDY
    why_whole: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the prompt."""
        return self.ids.shape[1]

    @property
    def records_attention(self) -> bool:
        """Whether attention is followed at all."""
        return bool(set(self.attention.notes) - {NO_STATS})

    @property
    def length(self) -> int:
        """The most tokens that the trace may have: the prompt's and those of the answer."""
        return self.tokens + self.room

    @property
    def passes(self) -> list[tuple[int, int]]:
        """First token and end of each pass."""
        return prefill.chunk_bounds(self.tokens, self.chunk)

    @property
    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """All coordinates that are known before the first pass.

        Those of the tokens have `length` entries, the answer's of them without texts.
        """
        text = with_room(self.text, self.room)
        coords = {**text.coordinates(), **self.attention.coords(), **self.sweeps.coordinates()}
        return coords | (self.lens.coords() if self.lens is not None else {})

    @property
    def fields(self) -> dict[str, ArrayLayout]:
        """The arrays that grow."""
        fields = self.attention.fields(self.step, self.storage)
        tall = 1 if self.sweeps.tile is None else self.sweeps.tile[0]
        for name, (dims, shape) in self.sweeps.layout().items():
            fields[name] = array_layout(name, dims, shape, self.step, self.storage, tall)
        if self.lens is not None:
            fields |= self.lens.fields(len(self.attention.entries), self.step, self.storage)
        if self.token_logprobs is not None:
            fields |= self.token_logprobs.fields(self.length, self.step, self.storage)
        return fields

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that grow."""
        return sum(array.nbytes for array in self.fields.values())

    def create_store(self, folder: Path, attrs: Mapping[str, Any]) -> None:
        """Create a store at `folder` that has all of the trace but its values."""
        group = store.create_group(folder, attrs)
        for name, (dim, values) in self.coords.items():
            store.write_array(group, name, (dim,), values)
        for name, array in self.fields.items():
            store.create_array(
                group, name, array.dims, array.shape, array.dtype, array.chunks, array.fill
            )


def computed_stats(names: Sequence[str]) -> tuple[str, ...]:
    """Return the statistics that `attention` is asked for; it gives lse unasked."""
    return tuple(name for name in names if name != "lse")


def plan_run(
    loaded: LoadedModel, text: Prompt, options: Options, earlier: Mapping[str, Any]
) -> RunPlan:
    """Check the model on short passes, and plan the run over `text`.

    earlier: the facts of the unfinished run that this one continues, empty for a new one. Raises
    `AttentropyError` for a model that cannot be recorded, `UsageError` for options that do not fit
    it.
    """
    ids = torch.tensor([text.ids], device=input_device(loaded.model))
    notes = [*loaded.notes, *text.notes]
    room = _room(loaded, len(text.ids), options.max_new_tokens)
    sites, chunk = options.lens, options.chunk
    if chunk is None and type(earlier.get("asked")) is int:
        chunk = earlier["asked"]
    keep_cache = options.keep_cache or earlier.get("keep_cache") is True
    in_chunks = room > 0 or _may_be_chunked(len(text.ids), chunk, options.memory)
    probe = RunProbe(
        loaded.model, probe_ids(ids, room), sites, in_chunks=in_chunks, use_cache=keep_cache,
        head=options.token_logprob,
    )  # fmt: skip
    is_causal = check_attention(probe, options)
    room = room if is_causal else 0  # a masked LM has no answer
    reading = _plan_lens(loaded, probe, text, options, room, notes) if sites else None
    token_logprobs = None
    if not is_causal:
        notes.append(both_ways(loaded))
    elif options.token_logprob:
        token_logprobs = _plan_token_logprobs(probe, reading, notes)
    attention_plan, sweeps, sweep_options = plan_recording(loaded, text, options, room, notes)
    if keep_cache:
        prefill.check_keepable(loaded.model, probe.cache())
    requested = _requested_chunk(loaded, ids, reading, chunk, options.memory)
    is_limited = options.chunk is not None or options.memory is not None
    block = min(ANSWER_BLOCK, requested) if is_limited else ANSWER_BLOCK
    chunk, step = _chunk(probe, len(text.ids), requested, sweeps.tile, notes)
    if chunk >= len(text.ids):
        step = max(len(text.ids), min(len(text.ids) + room, CHUNK_LENGTH))
    recorded = _recorded_options(options, attention_plan, chunk, len(text.ids)) | sweep_options
    work = prefill.attention_flops(loaded.model, ids.shape[1])
    described = keep_implementation(describe_run(loaded, work), earlier)
    lens = None
    if reading is not None:
        entries = first_entries(attention_plan)
        lens = LensArrays(
            reading, text, loaded.tokenizer, entries, options.top_k, room, is_causal=is_causal
        )
    return RunPlan(
        loaded=loaded, text=text, ids=ids, chunk=chunk, step=step, requested_chunk=requested,
        stats=computed_stats(options.stats), attention=attention_plan, sweeps=sweeps,
        lens=lens, token_logprobs=token_logprobs, is_causal=is_causal,
        attrs=provenance(described, text, notes, recorded), storage=options.storage,
        keep_cache=keep_cache, memory=options.memory, room=room, block=block,
        sampling=options.sampling, why_whole=prefill.why_whole(probe) if room else None,
    )  # fmt: skip


def _room(loaded: LoadedModel, tokens: int, wanted: int) -> int:
    """Return how many tokens may be generated and read after a prompt of `tokens` tokens."""
    positions = usable_positions(loaded.model)
    return wanted if positions is None else max(0, min(wanted, positions - tokens))


def _plan_lens(
    loaded: LoadedModel,
    probe: RunProbe,
    text: Prompt,
    options: Options,
    room: int,
    notes: list[str],
) -> LensPlan | None:
    """Return what the lens reads; None, with the reason in `notes`, where it can read nothing."""
    translator = options.lens_translator
    notes += [] if translator is None else translator.notes(loaded.model)
    return plan_lens(
        loaded, probe.passes.ids, text, options.lens, options.lens_layers,
        options.lens_positions, notes, head_pass=probe.head_pass, blocks=probe.blocks,
        room=room, translate=None if translator is None else translator.lenses,
    )  # fmt: skip


def _plan_token_logprobs(
    probe: RunProbe, reading: LensPlan | None, notes: list[str]
) -> TokenLogprobs | None:
    """Return what reads ln p of the text's tokens; None, with the reason in `notes`, if nothing."""
    try:
        if probe.head_pass is None:
            raise LensRefused("the model has no head that predicts the next token")
        lens = reading.lens if reading is not None else checked_lens(probe.model, probe.head_pass)
    except LensRefused as error:
        notes.append(f"no {TOKEN_LOGPROB}: {error}")
        return None
    return TokenLogprobs(lens, decoder_layers(probe.model)[-1])


def _recorded_options(
    options: Options, attention_plan: AttentionPlan, chunk: int, tokens: int
) -> dict[str, Any]:
    """Return the options that the trace names."""
    translator = options.lens_translator
    return {
        "chat_template": options.chat_template, "max_new_tokens": options.max_new_tokens,
        **(options.sampling.facts() if options.max_new_tokens else {}), "top_k": options.top_k,
        "reference": options.reference, **options.sources.facts(),
        "stats": list(attention_plan.names),
        "layers": options.layers or "all", "heads": options.heads,
        "lens": list(options.lens),
        **({"lens_translator": translator.facts_for_trace()} if translator is not None else {}),
        "lens_layers": options.lens_layers or "all",
        "lens_positions": options.lens_positions or "within the budget",
        "storage": options.storage, "chunk": chunk, "attention_window_tokens": tokens,
    }  # fmt: skip


def _may_be_chunked(tokens: int, chunk: int | None, memory: int | None) -> bool:
    """Return whether a prompt may take several passes, as far as is known before the lens is."""
    if chunk is not None:
        return tokens > chunk
    return memory is not None or tokens > SMALLEST_DEFAULT_CHUNK


def _requested_chunk(
    loaded: LoadedModel,
    ids: Tensor,
    reading: LensPlan | None,
    chunk: int | None,
    memory: int | None,
) -> int:
    """Return how many tokens a pass is to have: `chunk`, or as many as fit well."""
    if chunk is not None:
        return chunk
    if memory is None and ids.shape[1] <= SMALLEST_DEFAULT_CHUNK:
        return ids.shape[1]
    states = reading.bytes_per_token() if reading is not None else 0
    return prefill.chunk_tokens(loaded.model, ids.device, states, memory, free_bytes(ids.device))


def _chunk(
    probe: RunProbe, tokens: int, requested: int, tile: Tile | None, notes: list[str]
) -> tuple[int, int]:
    """Return the tokens of a pass, and those of a stored chunk.

    They are the same unless the prompt has to be read in one pass, which is noted. Passes begin at
    whole tiles of the map.
    """
    if tile is not None:
        requested = max(1, requested // tile[0]) * tile[0]
    if tokens <= requested:
        return tokens, tokens
    why = prefill.why_whole(probe)
    if why is None:
        return requested, requested
    notes.append(f"the prompt was read in one pass: {why}")
    return tokens, min(tokens, CHUNK_LENGTH)
