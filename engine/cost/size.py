"""The sizes of the model, of the recording and of the run that a run's cost depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from transformers import PretrainedConfig

from attentropy.engine.attention.window_size import kept_per_head
from attentropy.engine.cost.reference import ReferenceSize
from attentropy.engine.lens.budget import LensSize
from attentropy.engine.maps.windows import Rectangle, Tile, default_window
from attentropy.engine.model.classes import empty_model
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.gguf import GgufHeader
from attentropy.engine.trace.layout import NARROW
from attentropy.engine.trace.statistics import KEPT_ATTENTION, WITHOUT_SINKS


@dataclass(frozen=True)
class RecordingSize:
    """How much of attention is recorded.

    layers and heads: how many, None for all; 1 head may be the mean of all. tile: of the token ×
    token map, None without a map. rectangles: of exact weights, the automatic one among them (if
    empty, the automatic one alone). thumbnails: tokens of a tile of the heads' pictures, None
    without these. context: whether attention is summed by distance. itemsize: bytes of a value that
    may be stored as float16.
    """

    stats: tuple[str, ...] = KEPT_ATTENTION
    layers: int | None = None
    heads: int | None = None
    tile: Tile | None = None
    map_per_head: bool = False
    received: bool = False
    scores: bool = False
    thumbnails: int | None = None
    rectangles: tuple[Rectangle, ...] = ()
    itemsize: int = 4
    top_k: int = 5
    token_logprob: bool = True
    context: bool = False

    def rows(self, size: ModelSize, tokens: int, names: tuple[str, ...] = ()) -> dict[str, int]:
        """Return the bytes of each statistic, or of `names`, for `tokens` queries, uncompressed."""
        layers = size.layers if self.layers is None else self.layers
        heads = size.heads if self.heads is None else self.heads
        return {
            name: layers * heads * tokens * (self.itemsize if name in NARROW else 4)
            for name in (names or self.stats)
        }

    @property
    def without_sinks(self) -> tuple[str, ...]:
        """What one further sweep records, if every layer has sink keys."""
        is_kept = self.received and self.scores and "top_key" in self.stats and self.heads != 1
        return WITHOUT_SINKS if is_kept else ()

    def windows(self, size: ModelSize, tokens: int) -> int:
        """Return the bytes of the exact weights, uncompressed, four bytes each."""
        default = (default_window(tokens, size.layers, size.heads),)
        return sum(
            4 * size.layers * (size.heads if one.per_head else 1 + one.shares)
            * (one.rows[1] - one.rows[0]) * (one.keys[1] - one.keys[0])
            for one in self.rectangles or default
        )  # fmt: skip

    def thumbnail_values(self, size: ModelSize, tokens: int) -> int:
        """Return the number of tiles of all heads' thumbnails."""
        if self.thumbnails is None:
            return 0
        heads = size.heads if self.heads is None else self.heads
        return size.layers * heads * math.ceil(tokens / self.thumbnails) ** 2

    def answer_weights(self, size: ModelSize, tokens: int, answer: int) -> int:
        """Return the number of values of `answer_attention` for an answer of so many tokens."""
        if not (self.received and answer):
            return 0
        heads = size.heads if kept_per_head(size.layers * size.heads * tokens) else 1
        return size.layers * heads * (tokens + answer)


@dataclass(frozen=True)
class ModelSize:
    """Numbers of parameters, and lengths, that the cost is computed from."""

    parameters: int  # shared ones counted once
    active: int  # parameters that one token uses: in a mixture, those of its experts only
    experts: int  # parameters of experts: one block in memory, one by one in the checkpoint
    embedding: int  # parameters of the input table if nothing else uses it, else 0
    linear: int  # parameters of the layers' matrices, which quantisation shrinks
    layers: int
    width: int
    inner: int  # the largest width inside a layer
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    stored: int  # bytes of a number in the checkpoint
    window: int | None  # the sliding window, if every layer has one
    sliding: tuple[int, int] = (0, 0)  # how many layers have a sliding window, and how wide it is
    positions: int | None = None  # the most tokens of a sequence
    gguf: GgufHeader | None = None  # of the file that the weights are unpacked from

    def attention_flops(self, tokens: int) -> float:
        """Return the operations of causal attention over a prompt, windows aside."""
        return 2.0 * self.layers * self.heads * self.head_size * tokens**2

    def lens(self, itemsize: int, sites: int) -> LensSize:
        """Return the size of a lens that reads every layer."""
        return LensSize(self.width, self.vocabulary, self.layers, sites, self.parameters, itemsize)


@dataclass(frozen=True)
class RunSize:
    """What the cost of a run depends on besides its model.

    itemsize: bytes of one weight once loaded. positions: how many of the prompt the lens reads, and
    answer_positions of the answer's `answer` tokens. reference: the placebo questions.
    """

    tokens: int
    itemsize: int
    positions: int
    sites: int = 1
    quantize: str | None = None
    on_cpu: bool = True
    chunk: int | None = None  # tokens per pass; None for all
    recording: RecordingSize = field(default_factory=RecordingSize)
    answer: int = 0
    answer_positions: int = 0
    reference: ReferenceSize = field(default_factory=ReferenceSize)

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the answer."""
        return self.tokens + self.answer

    @property
    def pass_tokens(self) -> int:
        """Tokens of the longest pass."""
        return min(self.tokens, self.chunk or self.tokens)


def model_size(config: PretrainedConfig, gguf: GgufHeader | None = None) -> ModelSize:
    """Count the sizes of a model on an instance without weights.

    gguf: what the header of the model's GGUF file says, None where it has none.

    Raises what transformers raises for a configuration that no model can be built from.
    """
    model = empty_model(config)
    text = config.get_text_config()

    def fact(*names: str) -> int | None:
        return next((v for n in names if isinstance(v := getattr(text, n, None), int)), None)

    table = getattr(model.get_input_embeddings(), "weight", None)
    head = getattr(model.get_output_embeddings(), "weight", None)
    heads = fact("num_attention_heads", "n_head") or 1
    width = fact("hidden_size", "n_embd") or 1
    experts = fact("num_local_experts", "n_routed_experts", "num_experts") or 0
    used = fact("num_experts_per_tok", "moe_topk", "num_experts_per_token") or experts
    parameters = active = routed = linear = inner = 0
    for name, parameter in model.named_parameters():
        count = parameter.numel()
        parameters += count
        if parameter is table or parameter is head:
            continue
        is_routed = bool(experts) and ".experts." in name
        routed += count if is_routed else 0
        active += count * used // experts if is_routed else count
        if parameter.ndim == 2:
            linear += count
            inner = max(inner, *parameter.shape)
    own_dtype = getattr(text, "dtype", None) or torch.float32
    window = fact("sliding_window") if getattr(text, "use_sliding_window", True) else None
    kinds: list[str] = list(getattr(text, "layer_types", None) or ())
    layers = fact("num_hidden_layers", "n_layer") or 1
    sliding = kinds.count("sliding_attention") if kinds else layers
    everywhere = window if not set(kinds) - {"sliding_attention"} else None
    return ModelSize(
        parameters=parameters,
        active=active,
        experts=routed,
        embedding=table.numel() if table is not None and table is not head else 0,
        linear=linear,
        layers=layers,
        width=width,
        inner=inner,
        heads=heads,
        key_heads=fact("num_key_value_heads") or heads,
        head_size=fact("head_dim") or width // heads,
        vocabulary=fact("vocab_size") or 1,
        stored=own_dtype.itemsize,
        window=everywhere,
        sliding=(sliding, window) if window else (0, 0),
        positions=config_facts(config)["positions"],
        gguf=gguf,
    )
