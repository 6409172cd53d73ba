"""One model class against itself: what is recorded, and what its own eager attention says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attentropy.engine.attention.recorder import Recorder, record
from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.eager import Eager, run_eager
from attentropy.engine.coverage.tiny import VOCABULARY, tiny_model
from attentropy.engine.errors import AttentropyError, NoAttention
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.layers import decoder_layers

# Longer than every window and chunk of the tiny configurations, several times.
LENGTH = 40
PADDING = 5
SPLIT = 23

ENTROPY = 1e-5  # nats
LOGITS = 1e-4  # of the largest logit
LENS = 1e-4  # nats

PASS, NOT_APPLICABLE, REFUSED, WRONG = "pass", "not applicable", "refused", "wrong"

# A status and, unless it is a pass, the reason in one line.
Verdict = tuple[str, str]


class Wrong(Exception):
    """A number that is not the model's own."""


def compare(name: str) -> dict[str, Verdict]:
    """Verdicts on the `attention` and the `lens` of a class, and on its padding and chunks."""
    try:
        model = tiny_model(find_class(name))
        ids = _ids(LENGTH)
        own = run_eager(model, ids)
    except Exception as error:
        verdict = NOT_APPLICABLE, f"no tiny model of it runs on token ids alone ({_line(error)})"
        return {"attention": verdict, "lens": verdict}
    return _attention(model, ids, own) | {"lens": _lens(model, ids)}


def _attention(model: Any, ids: Tensor, own: Eager) -> dict[str, Verdict]:
    try:
        _same(*_recorded(model, ids), own, slice(None))
    except AttentropyError as error:
        without = isinstance(error, NoAttention) and not own.entropies
        return {"attention": (NOT_APPLICABLE if without else REFUSED, _line(error))}
    except Wrong as error:
        return {"attention": (WRONG, str(error))}
    return {
        "attention": (PASS, ""),
        "left padding": _padded(model, ids, left=True),
        "right padding": _padded(model, ids, left=False),
        "chunks": _chunked(model, ids, own),
    }


def _recorded(model: Any, ids: Tensor, **extra: Any) -> tuple[Recorder, Tensor]:
    model.set_attn_implementation("eager")
    with torch.no_grad(), record(model, stats=("entropy",)) as recorder:
        logits = model(ids, use_cache=False, **extra).logits
    return recorder, logits


def _same(recorder: Recorder, logits: Tensor, own: Eager, rows: slice) -> None:
    """Raise `Wrong` where an entropy or a logit of `rows` is not the model's own."""
    scale = max(1.0, float(own.logits[:, rows].abs().max()))
    error = float((own.logits - logits)[:, rows].abs().max()) / scale
    if not error <= LOGITS:
        raise Wrong(f"logits differ by {error:.2g} of their scale")
    calls = list(recorder.calls.values())
    if len(calls) != len(own.entropies):
        raise Wrong(f"{len(calls)} attention calls recorded, eager had {len(own.entropies)}")
    for call, wanted in zip(calls, own.entropies, strict=True):
        got = torch.from_numpy(call.values("entropy")).double()
        if got.shape != wanted.shape:
            raise Wrong(f"entropies {list(got.shape)}, eager's {list(wanted.shape)}")
        error = float((got - wanted)[:, rows].abs().max())
        if not error <= ENTROPY:
            raise Wrong(f"layer {call.layer}: entropy differs by {error:.2g} nats")


def _padded(model: Any, ids: Tensor, *, left: bool) -> Verdict:
    fill = torch.full((1, PADDING), 3)
    none, all_of_it = torch.zeros_like(fill), torch.ones_like(ids)
    padded = torch.cat([fill, ids] if left else [ids, fill], 1)
    mask = torch.cat([none, all_of_it] if left else [all_of_it, none], 1)
    rows = slice(PADDING, None) if left else slice(0, LENGTH)
    try:
        own = run_eager(model, padded, attention_mask=mask)
    except Exception as error:
        return NOT_APPLICABLE, f"its own eager pass fails ({_line(error)})"
    return _verdict(lambda: _same(*_recorded(model, padded, attention_mask=mask), own, rows))


def _chunked(model: Any, ids: Tensor, own: Eager) -> Verdict:
    """The prompt in two parts through the cache, where the model's own agree with one pass."""

    def parts() -> Tensor:
        with torch.no_grad():
            first = model(ids[:, :SPLIT], use_cache=True)
            then = model(ids[:, SPLIT:], past_key_values=first.past_key_values, use_cache=True)
        return torch.cat([first.logits, then.logits], 1)

    model.set_attn_implementation("eager")
    try:
        difference = float((parts() - own.logits).abs().max())
    except Exception as error:
        return NOT_APPLICABLE, f"its own eager chunks fail ({_line(error)})"
    if not difference <= LOGITS * max(1.0, float(own.logits.abs().max())):
        return NOT_APPLICABLE, "its own eager chunks differ from one pass"

    def recorded() -> None:
        with record(model, stats=("entropy",), length=LENGTH) as recorder:
            logits = parts()
        _same(recorder, logits, own, slice(None))

    return _verdict(recorded)


def _verdict(attempt: Any) -> Verdict:
    try:
        attempt()
    except AttentropyError as error:
        return REFUSED, _line(error)
    except Wrong as error:
        return WRONG, str(error)
    return PASS, ""


def _lens(model: Any, ids: Tensor) -> Verdict:
    model.set_attn_implementation("eager")

    def read() -> None:
        lens = find_lens(model, ids[:, :16])
        last = Point(decoder_layers(model)[-1])
        with torch.no_grad(), capture_states({"residual": [last]}) as states:
            logits = model(ids, use_cache=False).logits[0]
        logprobs = logits.double().log_softmax(-1)
        wanted = -(logprobs.exp() * logprobs).sum(-1)
        residual = states["residual"][0]
        assert residual is not None
        read_back = lens.read(residual, top_k=1).entropy.double()
        error = float((read_back - wanted).abs().max())
        if not error <= LENS:
            raise Wrong(f"the last layer's lens entropy differs by {error:.2g} nats")

    return _verdict(read)


def _ids(length: int) -> Tensor:
    # The lowest ids are those of special tokens in the tiny configurations.
    return torch.randint(3, VOCABULARY - 8, (1, length), generator=torch.Generator().manual_seed(1))


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return text if isinstance(error, AttentropyError) else f"{type(error).__name__}: {text}"[:160]
