"""Compare one model class with itself: what is recorded, and what its own eager attention gives."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.eager import Eager, run_eager
from attentropy.engine.coverage.tiny import VOCABULARY, tiny_model
from attentropy.engine.errors import AttentropyError, NoAttention, OwnAttention
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.record.record import record
from attentropy.engine.record.recording import Recording

# Several times as long as every window and chunk of the tiny configurations.
LENGTH = 40
PADDING = 5
SPLIT = 23

ENTROPY = 1e-5  # nats
LOGITS = 1e-4  # of the largest logit
LENS = 1e-4  # nats

PASS, NOT_APPLICABLE, REFUSED, WRONG = "pass", "not applicable", "refused", "wrong"

# A status and, unless it is a pass, the reason in one line.
Verdict = tuple[str, str]
# By what was compared: "attention", "lens", "left padding", "right padding", "chunks".
Verdicts = dict[str, Verdict]

_log = logging.getLogger(__name__)


class Wrong(Exception):
    """A number that is not the model's own."""


def compare(name: str) -> Verdicts:
    """Return verdicts on the attention and the lens of a class, and on its padding and chunks."""
    try:
        model = tiny_model(find_class(name))
        ids = random_ids(LENGTH)
        own = run_eager(model, ids)
    # A stranger's class may fail in any way where it is made tiny; that is its verdict.
    except Exception as error:
        _log.info("%s cannot be compared", name, exc_info=error)
        verdict = (
            NOT_APPLICABLE,
            f"no tiny model of this class runs on token ids alone ({_one_line(error)})",
        )
        return {"attention": verdict, "lens": verdict}
    return _compare_attention(model, ids, own) | {"lens": _compare_lens(model, ids)}


def _compare_attention(model: PreTrainedModel, ids: Tensor, own: Eager) -> Verdicts:
    try:
        _check_same(*_record(model, ids), own, slice(None))
    except AttentropyError as error:
        has_none = isinstance(error, NoAttention) and not isinstance(error, OwnAttention)
        has_none &= not own.entropies
        return {"attention": (NOT_APPLICABLE if has_none else REFUSED, _one_line(error))}
    except Wrong as error:
        return {"attention": (WRONG, str(error))}
    return {
        "attention": (PASS, ""),
        "left padding": _compare_padded(model, ids, left=True),
        "right padding": _compare_padded(model, ids, left=False),
        "chunks": _compare_chunked(model, ids, own),
    }


def _record(model: PreTrainedModel, ids: Tensor, **extra: Tensor) -> tuple[Recording, Tensor]:
    """Return a recorder of one pass without a cache, and the pass's logits."""
    model.set_attn_implementation("eager")
    with torch.no_grad(), record(model, stats=("entropy",)) as recorder:
        logits = model(ids, use_cache=False, **extra).logits
    return recorder, logits


def _check_same(recorder: Recording, logits: Tensor, own: Eager, rows: slice) -> None:
    """Raise `Wrong` where an entropy or a logit of `rows` is not the model's own."""
    scale = max(1.0, float(own.logits[:, rows].abs().max()))
    error = float((own.logits - logits)[:, rows].abs().max()) / scale
    if not error <= LOGITS:
        raise Wrong(f"logits differ by {error:.2g} of their scale")
    calls = list(recorder.calls.values())
    if len(calls) != len(own.entropies):
        raise Wrong(f"{len(calls)} attention calls recorded instead of {len(own.entropies)}")
    for call, eager in zip(calls, own.entropies, strict=True):
        entropies = torch.from_numpy(recorder.values("entropy", call.layer, call.index)).double()
        expected = eager[:, rows]
        if entropies.shape != expected.shape:
            raise Wrong(
                f"entropies of shape {list(entropies.shape)} instead of {list(expected.shape)}"
            )
        error = float((entropies - expected).abs().max())
        if not error <= ENTROPY:
            raise Wrong(f"layer {call.layer}: entropy differs by {error:.2g} nats")


def _compare_padded(model: PreTrainedModel, ids: Tensor, *, left: bool) -> Verdict:
    padding = torch.full((1, PADDING), 3)
    hidden, visible = torch.zeros_like(padding), torch.ones_like(ids)
    padded = torch.cat([padding, ids] if left else [ids, padding], 1)
    mask = torch.cat([hidden, visible] if left else [visible, hidden], 1)
    rows = slice(PADDING, None) if left else slice(0, LENGTH)
    try:
        own = run_eager(model, padded, attention_mask=mask)
    # As in `compare`: a pass of the model's own that fails leaves nothing to compare with.
    except Exception as error:
        _log.info("%s fails with padding", type(model).__name__, exc_info=error)
        return NOT_APPLICABLE, f"its own eager attention fails with padding ({_one_line(error)})"
    return _verdict(lambda: _check_same(*_record(model, padded, attention_mask=mask), own, rows))


def _compare_chunked(model: PreTrainedModel, ids: Tensor, own: Eager) -> Verdict:
    """Compare the prompt in two parts through the cache, if the model's own agree with one pass."""

    def read_in_parts() -> Tensor:
        with torch.no_grad():
            first = model(ids[:, :SPLIT], use_cache=True)
            if (cache := cache_of(first)) is None:
                raise ValueError("it has no KV cache")
            second = model(ids[:, SPLIT:], use_cache=True, **continuing(cache))
        return torch.cat([first.logits, second.logits], 1)

    model.set_attn_implementation("eager")
    try:
        difference = float((read_in_parts() - own.logits).abs().max())
    # As in `compare`: passes of the model's own that fail leave nothing to compare with.
    except Exception as error:
        _log.info("%s fails in chunks", type(model).__name__, exc_info=error)
        return NOT_APPLICABLE, f"its own eager attention fails in chunks ({_one_line(error)})"
    if not difference <= LOGITS * max(1.0, float(own.logits.abs().max())):
        return NOT_APPLICABLE, "its own eager attention gives different outputs in chunks"

    def check() -> None:
        with record(model, stats=("entropy",), length=LENGTH) as recorder:
            logits = read_in_parts()
        _check_same(recorder, logits, own, slice(None))

    return _verdict(check)


def _verdict(check: Callable[[], None]) -> Verdict:
    """Return what running `check` says."""
    try:
        check()
    except AttentropyError as error:
        return REFUSED, _one_line(error)
    except Wrong as error:
        return WRONG, str(error)
    return PASS, ""


def _compare_lens(model: PreTrainedModel, ids: Tensor) -> Verdict:
    """Compare the last layer's lens with the model's own output."""
    model.set_attn_implementation("eager")

    def check() -> None:
        lens = find_lens(model, ids[:, :16])
        last = Point(decoder_layers(model)[-1])
        with torch.no_grad(), capture_states({"residual": [last]}) as states:
            logits = model(ids, use_cache=False).logits[0]
        logprobs = logits.double().log_softmax(-1)
        expected = -(logprobs.exp() * logprobs).sum(-1)
        residual = states["residual"][0]
        assert residual is not None
        entropies = lens.read(residual, top_k=1).entropy.double()
        error = float((entropies - expected).abs().max())
        if not error <= LENS:
            raise Wrong(f"the last layer's lens entropy differs by {error:.2g} nats")

    return _verdict(check)


def random_ids(length: int) -> Tensor:
    """Return ids [1, length] that are not special, always the same."""
    # The lowest ids are those of special tokens in the tiny configurations.
    return torch.randint(3, VOCABULARY - 8, (1, length), generator=torch.Generator().manual_seed(1))


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return text if isinstance(error, AttentropyError) else f"{type(error).__name__}: {text}"[:160]
