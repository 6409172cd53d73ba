"""What is kept of attention in a forward pass: statistics and exact weights, call by call."""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine import attention_hook
from attentropy.engine.devices import input_device
from attentropy.engine.errors import AttentropyError, NoAttention
from attentropy.engine.layers import decoder_layers
from attentropy.engine.masks import Visibility
from attentropy.engine.trace import Trace
from attentropy.kernels.choice import Implementation
from attentropy.kernels.ops import AttentionResult
from attentropy.kernels.sweep import attention_window

DEFAULT_STATS = ("entropy", "max_prob", "distance", "sink_mass", "top_key")

# Exact weights are kept whole up to this many tokens, and of the tail of a longer prompt.
WINDOW_TOKENS = 512
WINDOW_TAIL = 64
WINDOW_BYTES = 64 * 2**20


@dataclass
class Call:
    """One attention call of one layer, its rows in the order in which they were computed.

    `stats[name]` holds arrays [heads, rows]; `window` the exact weights [heads, rows, keys].
    """

    layer: int
    index: int
    module: nn.Module
    stats: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    visible: list[np.ndarray] = field(default_factory=list)
    window: np.ndarray | None = None
    window_entropy: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Queries recorded so far."""
        return sum(part.shape[-1] for part in self.visible)

    def values(self, name: str) -> np.ndarray:
        """One statistic over all rows, [heads, rows]."""
        return np.concatenate(self.stats[name], axis=-1)


class Recorder:
    """Collects one sequence; `trace` is what was recorded so far.

    After a forward pass `calls` holds the attention calls in order.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stats: tuple[str, ...],
        impl: Implementation | None,
        length: int | None,
    ) -> None:
        self.model = model
        self.stats = stats
        self.impl = impl
        self.length = length
        self.calls: dict[tuple[int, int], Call] = {}
        self.padding_refused: str | None = None
        self._called: dict[int, int] = defaultdict(int)
        self._window_per_head: bool | None = None

    def heard(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Keep one attention call's statistics; see `attention_hook.Listener`."""
        if result.lse.shape[0] != 1:
            raise AttentropyError("record one sequence at a time; this batch holds several")
        padded = seen.key_lengths is not None
        if padded and self.padding_refused is not None:
            raise AttentropyError(self.padding_refused)
        layer = self._layer(module)
        start = seen.query_offset + seen.first_key
        if start == 0:
            self._called[layer] += 1
            index = self._called[layer] - 1
            call = self.calls.setdefault((layer, index), Call(layer, index, module))
        else:
            call = self._continued(layer, start)
        if call.rows != start:
            raise AttentropyError(
                "the recorded passes do not follow each other; use one record() per sequence"
            )
        for name in (*self.stats, "lse", "sink_prob"):
            value = getattr(result, name, None)
            if value is None:
                continue
            if name == "top_key":  # a position in the sequence, not in the cache
                value = torch.where(value >= 0, value + seen.first_key, value)
            call.stats[name].append(value[0].cpu().numpy())
        call.visible.append(seen.counts(1)[0].to(torch.int32).numpy())
        self._keep_window(call, tensors, seen, score, result)

    def _layer(self, module: nn.Module) -> int:
        """The module's own `layer_idx`, or the decoder layer that it alone is in."""
        own = getattr(module, "layer_idx", None)
        if own is not None:
            return int(own)
        try:
            layers = decoder_layers(self.model)
        except AttentropyError:
            layers = []
        inside = [i for i, layer in enumerate(layers) if any(m is module for m in layer.modules())]
        if len(inside) != 1:
            raise AttentropyError(f"{type(module).__name__} does not say which layer it is")
        return inside[0]

    def _continued(self, layer: int, start: int) -> Call:
        for (at, _), call in self.calls.items():
            if at == layer and call.rows == start:
                return call
        raise AttentropyError(
            "recording began in the middle of a sequence; start with an empty cache"
        )

    def _keep_window(
        self,
        call: Call,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Exact weights: of the whole prompt where it is short, of the tail's own square else."""
        total = self.length or seen.queries
        last = seen.query_offset + seen.first_key + seen.queries
        if last != total or seen.first_key:
            return
        first = 0 if total <= WINDOW_TOKENS else total - min(WINDOW_TAIL, seen.queries)
        if first < seen.query_offset:
            return
        rows = (first - seen.query_offset, seen.queries)
        query, key, _ = tensors
        where = score | seen.arguments()
        span = (first, total)
        weights = attention_window(query, key, result.lse, rows, span, **where)[0]
        if self._window_per_head is None:  # all layers alike, by the first of them
            layers = layer_count(self.model) or len(self.calls)
            self._window_per_head = weights.numel() * 4 * layers <= WINDOW_BYTES
        if self._window_per_head:
            call.window = weights.float().cpu().numpy()
            return
        shares = attention_window(query, key, result.lse, rows, span, values="entropy", **where)[0]
        call.window = weights.float().mean(0, keepdim=True).cpu().numpy()
        call.window_entropy = shares.float().mean(0, keepdim=True).cpu().numpy()

    @property
    def trace(self) -> Trace:
        """The attention statistics as a trace; token texts are the ids' numbers until named."""
        from attentropy.engine.assemble import attention_trace

        return attention_trace(self)


@contextmanager
def record(
    model: PreTrainedModel,
    *,
    stats: tuple[str, ...] = DEFAULT_STATS,
    impl: Implementation | None = None,
    length: int | None = None,
) -> Iterator[Recorder]:
    """While open, every attention call of `model` is recorded; its outputs stay what they were.

    `model` is a transformers model in evaluation mode; one sequence, from its first token on, in
    one or several passes through the cache. `stats` as in `attentropy.attention`; `length` is the
    number of tokens to come, where it is known. On exit the model's own attention is back. The
    first time that a model is given, `check_same_outputs` runs it over a short probe.

    Raises `AttentropyError` where the model does not run its attention through transformers'
    attention interface, or does so with arguments whose meaning is unknown.
    """
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    if model not in _checked:
        check_same_outputs(model)
    found = _checked[model]
    recorder = Recorder(model, stats=tuple(stats), impl=impl, length=length)
    recorder.padding_refused = found.padding
    with _listening(model, recorder):
        yield recorder
    if missing := found.calls - set(recorder.calls) if recorder.calls else set():
        layer = min(missing)[0]
        raise AttentropyError(
            f"layer {layer} of {type(model).__name__} made no attention call in this pass, and "
            "made one over a shorter text; its entropies would be missing"
        )


@dataclass(frozen=True)
class _Checked:
    """What a model's probe showed: its attention calls, and why padding is refused, if it is."""

    calls: set[tuple[int, int]]
    padding: str | None


_checked: WeakKeyDictionary[PreTrainedModel, _Checked] = WeakKeyDictionary()


@contextmanager
def _listening(model: PreTrainedModel, recorder: Recorder) -> Iterator[None]:
    attention_hook.register()
    before = model.config._attn_implementation
    try:
        _use(model, attention_hook.NAME)
        token = attention_hook.listener.set(recorder)
        try:
            yield
        finally:
            attention_hook.listener.reset(token)
    finally:
        _use(model, before)


def _use(model: Any, implementation: str) -> None:
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        try:
            model.set_attn_implementation(implementation)
        except (ValueError, AttributeError) as error:
            raise AttentropyError(
                f"{type(model).__name__} does not let its attention be chosen"
            ) from error
    if model.config._attn_implementation != implementation:
        raise AttentropyError(
            f"{type(model).__name__} keeps its own attention implementation, which transformers' "
            "attention interface does not reach"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what transformers logs of a model that keeps its attention: it is raised here."""
    logger = logging.getLogger("transformers.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


_PROBE_TOKENS = 16
_PROBE_PADDING = 3
# Kinds of layers that compute softmax attention, as configurations name them in `layer_types`.
_SOFTMAX_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


def check_same_outputs(model: PreTrainedModel, input_ids: Tensor | None = None) -> None:
    """Compare a short pass [1, n] with the model's own: same outputs, and attention was called.

    Some models accept any implementation's name and never call it, with wrong logits and no
    error; others cannot run without a dense mask. `input_ids` are 16 tokens from the middle of the
    vocabulary by default. What a long text could show that this does not (a window, a chunk, a
    cache) is in the mask, whose description is compared with the mask itself at every pass.
    Raises `AttentropyError`; padding that changes the outputs is refused only where it is met.
    """
    name = type(model).__name__
    ids = _probe(model) if input_ids is None else input_ids
    own = _own(model, ids)
    with _listening(model, recorder := Recorder(model, stats=("entropy",), impl=None, length=None)):
        ours = _through_the_interface(model, ids)
    if not recorder.calls:
        raise NoAttention(
            f"{name} has no attention layer that transformers' attention interface reaches; "
            "there is no attention entropy to record"
        )
    if any(call.rows != ids.shape[1] for call in recorder.calls.values()):
        raise AttentropyError(
            f"{name} attends over other sequences than its tokens (patches, an encoder's); "
            "its entropies have no place among the prompt's tokens"
        )
    called = {layer for layer, _ in recorder.calls}
    for layer, kind in enumerate(layer_kinds(model)):
        if kind in _SOFTMAX_LAYERS and layer not in called:
            raise AttentropyError(
                f"layer {layer} of {name} is of the kind {kind} and makes no call to transformers' "
                "attention interface; its entropies would be missing"
            )
    if (error := _difference(own, ours, model.dtype)) is not None:
        raise AttentropyError(
            f"{name} gives other outputs through transformers' attention interface "
            f"(by {error:.3g}); its entropies would be wrong"
        )
    _checked[model] = _Checked(set(recorder.calls), _padding_refused(model, ids))


def layer_count(model: PreTrainedModel) -> int:
    """The number of layers by the configuration; 0 where it says nothing."""
    return int(getattr(model.config.get_text_config(), "num_hidden_layers", 0))


def layer_kinds(model: PreTrainedModel) -> list[str]:
    """What the configuration calls each layer (`layer_types`); empty where it says nothing."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return [str(kind) for kind in kinds] if isinstance(kinds, (list, tuple)) else []


def _padding_refused(model: PreTrainedModel, ids: Tensor) -> str | None:
    """Why left padding is refused: its tokens' outputs reach those of the text; None if not."""
    added = min(_PROBE_PADDING, ids.shape[1])  # of a short prompt, what there is
    padded = torch.cat([ids[:, :added], ids], 1)
    mask = torch.ones_like(padded)
    mask[:, :added] = 0
    try:
        own = _own(model, padded, attention_mask=mask)
        with _listening(model, Recorder(model, stats=("entropy",), impl=None, length=None)):
            ours = _through_the_interface(model, padded, attention_mask=mask)
    except AttentropyError as error:
        return str(error)
    apart = _difference(own[:, added:], ours[:, added:], model.dtype)
    if apart is None:
        return None
    return (
        f"{type(model).__name__} lets padding change the tokens' outputs (by {apart:.3g}); "
        "record one prompt at a time, without padding"
    )


def _probe(model: PreTrainedModel) -> Tensor:
    """Ids from the middle of the vocabulary, where few models keep special tokens."""
    table = model.get_input_embeddings()
    size = int(getattr(table, "num_embeddings", model.config.get_text_config().vocab_size))
    ids = torch.linspace(size // 3, 2 * size // 3, _PROBE_TOKENS).long()
    return ids[None].to(input_device(model))


def _own(model: Any, ids: Tensor, **extra: Any) -> Tensor:
    try:
        with torch.no_grad():
            return _outputs(model(ids, use_cache=False, **extra))
    except AttentropyError:
        raise
    except Exception as error:
        raise AttentropyError(
            f"{type(model).__name__} does not run on token ids alone, so recording it cannot be "
            f"checked ({_one_line(error)})"
        ) from error


def _through_the_interface(model: Any, ids: Tensor, **extra: Any) -> Tensor:
    try:
        with torch.no_grad():
            return _outputs(model(ids, use_cache=False, **extra))
    except AttentropyError:
        raise
    except Exception as error:
        raise AttentropyError(
            f"{type(model).__name__} does not run with a mask that is described and not built "
            f"({_one_line(error)})"
        ) from error


def _outputs(output: Any) -> Tensor:
    """Logits, or the last hidden state of a model without a head, [1, n, size] float32."""
    found = getattr(output, "logits", None)
    return (output[0] if found is None else found).float()


def _difference(own: Tensor, ours: Tensor, dtype: torch.dtype) -> float | None:
    """The largest difference, where it is more than the type's rounding explains."""
    coarse = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 2e-2}.get(dtype, 5e-2)
    error = float((own - ours).abs().max())
    return None if error <= coarse * max(1.0, float(own.abs().max())) else error


def _one_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:120]}"
