"""Check a model before it is first recorded: a short pass gives what the model gives by itself."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.attention.call_check import calls_agree
from attentropy.engine.attention.finite import finite_rows, not_finite_from, why_not_finite
from attentropy.engine.attention.listening import attention_of, listening
from attentropy.engine.attention.probe import (
    Probe,
    RecordedPass,
    difference,
    has_token_outputs,
    outputs,
    run_own,
    run_recorded,
)
from attentropy.engine.attention.supported import check_supported
from attentropy.engine.errors import AttentropyError, LensRefused, NoAttention
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.layers import decoder_layers, layer_count, layer_kinds

_PROBE_TOKENS = 16
_PROBE_PADDING = 3
# Kinds of layers that compute softmax attention, as configurations name them in `layer_types`.
_SOFTMAX_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True)
class ModelCheck:
    """What a model's probe showed.

    Each attention call (layer, call) with its number of query heads, whether the model combines
    masks itself and so needs them built, whether it has learned sinks, and whether no token sees
    those after it.
    """

    heads: dict[tuple[int, int], int]
    masks_built: bool
    has_sinks: bool
    is_causal: bool

    @property
    def calls(self) -> set[tuple[int, int]]:
        """The attention calls, (layer, call)."""
        return set(self.heads)


_checked: WeakKeyDictionary[PreTrainedModel, ModelCheck] = WeakKeyDictionary()
_padding: WeakKeyDictionary[PreTrainedModel, str | None] = WeakKeyDictionary()


def check_model(model: PreTrainedModel) -> ModelCheck:
    """Return what the check of `model` showed; run the check if it has not been run yet."""
    if model not in _checked:
        check_same_outputs(model)
    return _checked[model]


def attention_entries(model: PreTrainedModel) -> list[tuple[int, int]]:
    """Return the trace's entries along `layer`.

    They are every attention call (layer, call), and (layer, 0) for a layer that makes none.
    """
    calls = check_model(model).calls
    silent = set(range(layer_count(model))) - {layer for layer, _ in calls}
    return sorted([*calls, *((layer, 0) for layer in silent)])


def check_same_outputs(model: PreTrainedModel, input_ids: Tensor | None = None) -> None:
    """Compare a short pass [1, n] with the model's own: same outputs, and attention was called.

    Where outputs differ, each call is compared on the same tensors: a model that rounds its
    activations (8-bit weights) may give other outputs although its attention is the same.

    Some models accept any implementation's name and never call it, with wrong logits and no
    error; others cannot run without a dense mask. `input_ids` are 16 tokens from the middle of the
    vocabulary by default. What a long text could show that this does not (a window, a chunk, a
    cache) is in the mask, whose description is compared with the mask itself at every pass.
    Padding is checked when it is first met, see `why_padding_is_refused`.

    Raises:
        AttentropyError: the model cannot be recorded.
    """
    check_probe(Probe(model, probe_ids(model) if input_ids is None else input_ids))


def needs_masks_built(model: PreTrainedModel) -> bool:
    """Return whether `model` is known to need its masks built; no pass is made to learn it."""
    return model in _checked and _checked[model].masks_built


def ensure_checked(probe: Probe) -> None:
    """Check the probe's model unless that was done before; raises as `check_same_outputs`."""
    if probe.model not in _checked:
        check_probe(probe)


def check_probe(probe: Probe) -> None:
    """Compare the two passes of `probe`; raises as `check_same_outputs` does."""
    model, name = probe.model, type(probe.model).__name__
    check_supported(model)
    if not has_token_outputs(probe.own, probe.ids.shape[1]):
        _checked[model] = _check_of_base(model, probe.ids)
        return
    own = outputs(probe.own)
    recorded = probe.recorded
    if not finite_rows(own).all():
        raise AttentropyError(f"{name}: {not_finite_from(_first_not_finite(probe))}")
    _check_calls(model, recorded)
    error = _output_difference(probe, own, recorded)
    if error is not None and not calls_agree(
        model, probe.ids, own, masks_built=recorded.masks_built
    ):
        raise AttentropyError(
            f"{name} gives different outputs through transformers' attention interface "
            f"(difference {error:.3g}); its entropies would be wrong"
        )
    heads = {key: call.heads for key, call in recorded.calls.calls.items()}
    _checked[model] = ModelCheck(
        heads, recorded.masks_built, recorded.calls.has_sinks, recorded.calls.is_causal
    )


def _first_not_finite(probe: Probe) -> int:
    """Return the token with which the outputs of `probe.own` stop being finite.

    In one pass over all tokens, 0 × inf may spoil the rows before it, too: the shortest beginning
    of the probe with such an output ends in that token.
    """

    def is_wrong(length: int) -> bool:
        return not finite_rows(outputs(run_own(probe.model, probe.ids[:, :length]))).all()

    return bisect_left(range(1, probe.ids.shape[1]), True, key=is_wrong)


def _check_of_base(model: PreTrainedModel, ids: Tensor) -> ModelCheck:
    """Check the base of a model with one output per text, such as a classifier."""
    base = model.base_model
    if base is model or not isinstance(base, PreTrainedModel):
        raise AttentropyError(
            f"{type(model).__name__} has no output for each token, so attentropy cannot check what "
            "it records; give the model without its head"
        )
    check_same_outputs(base, ids)
    return _checked[base]


def _check_calls(model: PreTrainedModel, recorded: RecordedPass) -> None:
    """Raise `AttentropyError` where a layer that should call attention on the tokens does not."""
    name, calls = type(model).__name__, recorded.calls.calls
    if not calls:
        raise NoAttention(
            f"{name} has no layer that calls transformers' attention interface, so there is no "
            'attention entropy to record; with `stats="none"` a run reads the lens alone'
        )
    if any(call.rows != recorded.tokens for call in calls.values()):
        raise AttentropyError(
            f"{name} attends to sequences other than its tokens (such as patches or an encoder's "
            "output), so its entropies do not belong to the prompt's tokens"
        )
    called = {layer for layer, _ in calls}
    if (missing := _layer_elsewhere(model, set(calls))) is not None:
        raise AttentropyError(
            f"layer {missing} of {name} is not in this process, although its configuration has "
            f"{layer_count(model)} layers; load all layers in one process"
        )
    for layer, kind in enumerate(layer_kinds(model)):
        if kind in _SOFTMAX_LAYERS and layer not in called:
            raise AttentropyError(
                f"layer {layer} of {name} ({kind}) does not call transformers' attention "
                "interface; "
                "its entropies would be missing"
            )


def _layer_elsewhere(model: PreTrainedModel, calls: set[tuple[int, int]]) -> int | None:
    """Return a layer without attention of which there is no module either; None if all are here.

    A model that runs its layers in loops may count each of its rounds as layers.
    """
    silent = sorted(set(range(layer_count(model))) - {layer for layer, _ in calls})
    if not silent or any(index for _, index in calls):
        return None
    try:
        decoder_layers(model)
    except LensRefused:
        return silent[0]
    return None


def _output_difference(probe: Probe, own: Tensor, recorded: RecordedPass) -> float | None:
    """Return how far the recorded outputs are from the model's own, None for rounding alone."""
    model, tokens = probe.model, recorded.tokens
    if tokens == own.shape[1]:
        return difference(own, outputs(recorded.output), model.dtype)
    if recorded.calls.is_causal:  # then what follows a token does not change its output
        ours = outputs(recorded.output)
        if difference(own[:, :tokens], ours, model.dtype) is None:
            return None
    again = run_recorded(model, probe.ids, masks_built=recorded.masks_built)
    return difference(own, outputs(again.output), model.dtype)


def why_padding_is_refused(model: PreTrainedModel, own_attention: str | None = None) -> str | None:
    """Return why left padding is refused: its outputs reach those of the text; None if not.

    The first time that padding of `model` is met, two short padded passes are made. `own_attention`
    is the name of the model's own attention, where the hook's is on at the moment.
    """
    if model not in _padding:
        with attention_of(model, own_attention or model.config._attn_implementation):
            _padding[model] = _padding_refused(model)
    return _padding[model]


def _padding_refused(model: PreTrainedModel) -> str | None:
    ids = probe_ids(model)
    padded = torch.cat([ids[:, :1].expand(-1, _PROBE_PADDING), ids], 1)
    mask = torch.ones_like(padded)
    mask[:, :_PROBE_PADDING] = 0
    try:
        own_output = run_own(model, padded, attention_mask=mask)
        if not has_token_outputs(own_output, padded.shape[1]):
            return _padding_refused(cast(PreTrainedModel, model.base_model))
        own = outputs(own_output)
        masks_built = check_model(model).masks_built
        recorded = run_recorded(model, padded, masks_built=masks_built, attention_mask=mask)
    except AttentropyError as error:
        return str(error)
    ours = outputs(recorded.output)
    if (why := why_not_finite(own[:, _PROBE_PADDING:])) is not None:
        return f"with padding, {why}"
    distance = difference(own[:, _PROBE_PADDING:], ours[:, _PROBE_PADDING:], model.dtype)
    if distance is None or calls_agree(
        model, padded, own, masks_built=masks_built, first=_PROBE_PADDING, attention_mask=mask
    ):
        return None
    return (
        f"{type(model).__name__} gives different outputs with padding (difference {distance:.3g}); "
        "record one prompt at a time, without padding"
    )


def probe_ids(model: PreTrainedModel) -> Tensor:
    """Return ids from the middle of the vocabulary, where few models keep special tokens."""
    try:
        size = int(cast(Any, model.get_input_embeddings()).num_embeddings)
    except (NotImplementedError, AttributeError):
        size = getattr(model.config.get_text_config(), "vocab_size", None) or 0
    if not size:
        raise AttentropyError(
            f"{type(model).__name__} has no vocabulary of tokens; only models that read text can "
            "be recorded"
        )
    ids = torch.linspace(size // 3, 2 * size // 3, _PROBE_TOKENS).long()
    return ids[None].to(input_device(model))


__all__ = [
    "ModelCheck",
    "attention_entries",
    "check_model",
    "check_same_outputs",
    "difference",
    "ensure_checked",
    "listening",
    "needs_masks_built",
    "outputs",
    "probe_ids",
    "why_padding_is_refused",
]
