"""The sizes that a run's cost depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from attentropy.engine.attention.statistics import KEPT_STATS
from attentropy.engine.lens.budget import LensSize
from attentropy.engine.maps.windows import Rectangle, Tile, automatic
from attentropy.engine.trace.layout import NARROW


@dataclass(frozen=True)
class RecordingSize:
    """What stays of attention: `layers` and `heads` are how many, None for all; heads 1 may be
    their mean. `tile` of the token × token map, None without one; `rectangles` of exact weights,
    the automatic one among them (none named: the automatic one). `itemsize`: bytes of what may be
    stored as float16."""

    stats: tuple[str, ...] = KEPT_STATS
    layers: int | None = None
    heads: int | None = None
    tile: Tile | None = None
    map_per_head: bool = False
    received: bool = False
    scores: bool = False
    rectangles: tuple[Rectangle, ...] = ()
    itemsize: int = 4
    top_k: int = 5

    def rows(self, size: ModelSize, tokens: int) -> dict[str, int]:
        """Bytes of each statistic of `tokens` queries, uncompressed."""
        layers = size.layers if self.layers is None else self.layers
        heads = size.heads if self.heads is None else self.heads
        return {
            name: layers * heads * tokens * (self.itemsize if name in NARROW else 4)
            for name in self.stats
        }

    def windows(self, size: ModelSize, tokens: int) -> int:
        """Bytes of the exact weights, uncompressed, four each."""
        unasked = (automatic(tokens, size.layers, size.heads),)
        return sum(
            4 * size.layers * (size.heads if one.per_head else 1 + one.shares)
            * (one.rows[1] - one.rows[0]) * (one.keys[1] - one.keys[0])
            for one in self.rectangles or unasked
        )  # fmt: skip


@dataclass(frozen=True)
class ModelSize:
    """Numbers of parameters and lengths that the cost is made of."""

    parameters: int  # shared ones once
    active: int  # that a token meets: of a mixture, the experts it is sent to
    experts: int  # that lie in one block, and one by one in the checkpoint
    embedding: int  # entries of the input table where nothing else uses it, else 0
    linear: int  # entries of the layers' matrices, which quantisation shrinks
    layers: int
    width: int
    inner: int  # the widest that a layer's matrices make of it
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    stored: int  # bytes of a number in the checkpoint
    window: int | None  # of every layer, where all have one

    def lens(self, itemsize: int, sites: int) -> LensSize:
        """The same for the lens's own cost."""
        return LensSize(self.width, self.vocabulary, self.layers, sites, self.parameters, itemsize)


@dataclass(frozen=True)
class RunSize:
    """What of a run its cost depends on; `itemsize` is that of the weights once loaded."""

    tokens: int
    itemsize: int
    positions: int  # that the lens reads
    sites: int = 1
    quantize: str | None = None
    on_cpu: bool = True
    chunk: int | None = None  # tokens of a pass; None for all
    kept: RecordingSize = field(default_factory=RecordingSize)


def model_size(config: Any) -> ModelSize:
    """Counted on a model without weights. Raises what transformers raises for a configuration that
    makes no model."""
    import transformers

    with torch.device("meta"):
        empty: Any = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    text = config.get_text_config()

    def fact(*names: str) -> int | None:
        return next((v for n in names if isinstance(v := getattr(text, n, None), int)), None)

    table = getattr(empty.get_input_embeddings(), "weight", None)
    head = getattr(empty.get_output_embeddings(), "weight", None)
    heads = fact("num_attention_heads", "n_head") or 1
    width = fact("hidden_size", "n_embd") or 1
    experts = fact("num_local_experts", "n_routed_experts", "num_experts") or 0
    chosen = fact("num_experts_per_tok", "moe_topk", "num_experts_per_token") or experts
    parameters = active = routed = linear = inner = 0
    for name, parameter in empty.named_parameters():
        size = parameter.numel()
        parameters += size
        if parameter is table or parameter is head:
            continue
        routed += size if experts and ".experts." in name else 0
        active += size * chosen // experts if experts and ".experts." in name else size
        if parameter.ndim == 2:
            linear += size
            inner = max(inner, *parameter.shape)
    own = getattr(text, "dtype", None) or torch.float32
    window = fact("sliding_window") if getattr(text, "use_sliding_window", True) else None
    kinds = set(getattr(text, "layer_types", None) or ())
    return ModelSize(
        parameters=parameters,
        active=active,
        experts=routed,
        embedding=table.numel() if table is not None and table is not head else 0,
        linear=linear,
        layers=fact("num_hidden_layers", "n_layer") or 1,
        width=width,
        inner=inner,
        heads=heads,
        key_heads=fact("num_key_value_heads") or heads,
        head_size=fact("head_dim") or width // heads,
        vocabulary=fact("vocab_size") or 1,
        stored=own.itemsize,
        window=window if not kinds - {"sliding_attention"} else None,
    )
