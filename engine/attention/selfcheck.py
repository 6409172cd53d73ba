"""Before a model is first recorded: a short pass must give what the model gives by itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention import hook as attention_hook
from attentropy.engine.attention.masks import built
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError, NoAttention
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.layers import layer_count, layer_kinds, layer_of
from attentropy.kernels.ops import Implementation


@dataclass(frozen=True)
class Checked:
    """What a model's probe showed: its attention calls, each (layer, call) with its number of query
    heads, whether it combines masks itself and so needs them built, and why padding is refused, if
    it is."""

    heads: dict[tuple[int, int], int]
    masks_built: bool
    padding: str | None

    @property
    def calls(self) -> set[tuple[int, int]]:
        """The attention calls, (layer, call)."""
        return set(self.heads)


def checked(model: PreTrainedModel) -> Checked:
    """What the check of `model` showed; the first time it is asked for, the check is run."""
    if model not in _checked:
        check_same_outputs(model)
    return _checked[model]


def attention_entries(model: PreTrainedModel) -> list[tuple[int, int]]:
    """The trace's entries along `layer`: every attention call (layer, call), and (layer, 0) for a
    layer that makes none."""
    calls = checked(model).calls
    silent = set(range(layer_count(model))) - {layer for layer, _ in calls}
    return sorted([*calls, *((layer, 0) for layer in silent)])


_checked: WeakKeyDictionary[PreTrainedModel, Checked] = WeakKeyDictionary()


@contextmanager
def listening(
    model: PreTrainedModel, hears: attention_hook.Listener, *, masks_built: bool
) -> Iterator[None]:
    """While open, `model` runs its attention through the hook and `hears` is told of each call."""
    attention_hook.register()
    wanted = built.set(masks_built)
    before = model.config._attn_implementation
    try:
        _use(model, attention_hook.NAME)
        token = attention_hook.listener.set(hears)
        try:
            yield
        finally:
            attention_hook.listener.reset(token)
    finally:
        built.reset(wanted)
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
    masks_built = False
    try:
        calls, ours = _heard(model, ids, masks_built=masks_built)
    except _NeedsMask:
        masks_built = True
        calls, ours = _heard(model, ids, masks_built=masks_built)
    if not calls.rows:
        raise NoAttention(
            f"{name} has no attention layer that transformers' attention interface reaches; "
            "there is no attention entropy to record"
        )
    if any(rows != ids.shape[1] for rows in calls.rows.values()):
        raise AttentropyError(
            f"{name} attends over other sequences than its tokens (patches, an encoder's); "
            "its entropies have no place among the prompt's tokens"
        )
    called = {layer for layer, _ in calls.rows}
    for layer, kind in enumerate(layer_kinds(model)):
        if kind in _SOFTMAX_LAYERS and layer not in called:
            raise AttentropyError(
                f"layer {layer} of {name} is of the kind {kind} and makes no call to transformers' "
                "attention interface; its entropies would be missing"
            )
    if (error := difference(own, ours, model.dtype)) is not None:
        raise AttentropyError(
            f"{name} gives other outputs through transformers' attention interface "
            f"(by {error:.3g}); its entropies would be wrong"
        )
    _checked[model] = Checked(calls.heads, masks_built, _padding_refused(model, ids, masks_built))


def _padding_refused(model: PreTrainedModel, ids: Tensor, masks_built: bool) -> str | None:
    """Why left padding is refused: its tokens' outputs reach those of the text; None if not."""
    padded = torch.cat([ids[:, :1].expand(-1, _PROBE_PADDING), ids], 1)
    mask = torch.ones_like(padded)
    mask[:, :_PROBE_PADDING] = 0
    try:
        own = _own(model, padded, attention_mask=mask)
        _, ours = _heard(model, padded, masks_built=masks_built, attention_mask=mask)
    except AttentropyError as error:
        return str(error)
    apart = difference(own[:, _PROBE_PADDING:], ours[:, _PROBE_PADDING:], model.dtype)
    if apart is None:
        return None
    return (
        f"{type(model).__name__} lets padding change the tokens' outputs (by {apart:.3g}); "
        "record one prompt at a time, without padding"
    )


def _probe(model: PreTrainedModel) -> Tensor:
    """Ids from the middle of the vocabulary, where few models keep special tokens."""
    try:
        size = int(cast(Any, model.get_input_embeddings()).num_embeddings)
    except (NotImplementedError, AttributeError):
        size = model.config.get_text_config().vocab_size
    ids = torch.linspace(size // 3, 2 * size // 3, _PROBE_TOKENS).long()
    return ids[None].to(input_device(model))


def _own(model: Any, ids: Tensor, **extra: Any) -> Tensor:
    try:
        with torch.no_grad():
            return outputs(model(ids, use_cache=False, **extra))
    except AttentropyError:
        raise
    except Exception as error:
        raise AttentropyError(
            f"{type(model).__name__} does not run on token ids alone, so recording it cannot be "
            f"checked ({_one_line(error)})"
        ) from error


class _NeedsMask(AttentropyError):
    """A model that cannot run with the description of a mask."""


class _Calls(attention_hook.Listener):
    """Hears a probe: how many rows and heads each attention call (layer, call) had."""

    stats: tuple[str, ...] = ("entropy",)
    impl: Implementation | None = None

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.rows: dict[tuple[int, int], int] = {}
        self.heads: dict[tuple[int, int], int] = {}

    def heard(
        self, module: nn.Module, tensors: Any, seen: Visibility, score: Any, result: Any
    ) -> None:
        layer = layer_of(self.model, module)
        index = sum(1 for at, _ in self.rows if at == layer)
        self.rows[layer, index] = seen.queries
        self.heads[layer, index] = tensors[0].shape[1]


def _heard(model: Any, ids: Tensor, *, masks_built: bool, **extra: Any) -> tuple[_Calls, Tensor]:
    calls = _Calls(model)
    try:
        with torch.no_grad(), listening(model, calls, masks_built=masks_built):
            return calls, outputs(model(ids, use_cache=False, **extra))
    except AttentropyError:
        raise
    except Exception as error:
        raise _NeedsMask(
            f"{type(model).__name__} does not run through transformers' attention interface "
            f"({_one_line(error)})"
        ) from error


def outputs(output: Any) -> Tensor:
    """Logits, or the last hidden state of a model without a head, [1, n, size] float32."""
    found = getattr(output, "logits", None)
    return (output[0] if found is None else found).float()


def difference(own: Tensor, ours: Tensor, dtype: torch.dtype) -> float | None:
    """The largest difference, where it is more than the type's rounding explains."""
    coarse = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2}.get(dtype, 5e-2)
    error = float((own - ours).abs().max())
    return None if error <= coarse * max(1.0, float(own.abs().max())) else error


def _one_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:120]}"
