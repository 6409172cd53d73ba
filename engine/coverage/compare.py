"""One model class against itself: what is recorded, and what its own eager attention says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.eager import Eager, run_eager
from attentropy.engine.coverage.tiny import VOCABULARY, tiny_model
from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens import decoder_layers, find_lens, residuals
from attentropy.engine.recorder import Recorder, record

# Longer than every window and chunk of the tiny configurations, several times.
LENGTH = 40
PADDING = 5
SPLIT = 23

ENTROPY = 1e-5  # nats
LOGITS = 1e-4  # of the largest logit
LENS = 1e-4  # nats

PASS, NOT_APPLICABLE, REFUSED, WRONG = "pass", "not applicable", "refused", "wrong"


@dataclass(frozen=True)
class Verdict:
    """pass, not applicable, refused or wrong; why, unless it passed; the largest error, nats."""

    status: str
    reason: str = ""
    error: float | None = None


class Wrong(Exception):
    """A number that is not the model's own."""


def compare(name: str, seed: int = 0) -> dict[str, Any]:
    """Verdicts on `attention` and `lens` of a class, and what its `padding` and `chunks` gave."""
    try:
        model = tiny_model(find_class(name), seed)
        ids = _ids(LENGTH)
        own = run_eager(model, ids)
    except Exception as error:
        verdict = Verdict(NOT_APPLICABLE, f"no tiny model of it runs on token ids: {_line(error)}")
        return {"attention": asdict(verdict), "lens": asdict(verdict)}
    row: dict[str, Any] = {"lens": asdict(_lens(model, ids))}
    attention, notes = _attention(model, ids, own)
    return row | {"attention": asdict(attention)} | notes


def _attention(model: Any, ids: Tensor, own: Eager) -> tuple[Verdict, dict[str, str]]:
    try:
        worst = _same(*_recorded(model, ids), own, slice(None))
    except AttentropyError as error:
        return Verdict(REFUSED, _line(error)), {}
    except Wrong as error:
        return Verdict(WRONG, str(error)), {}
    notes = {}
    try:
        for side in ("left", "right"):
            error, note = _padded(model, ids, side)
            worst = max(worst, error)
            notes[f"{side} padding"] = note
        error, notes["chunks"] = _chunked(model, ids, own)
        worst = max(worst, error)
    except Wrong as error:
        return Verdict(WRONG, str(error)), notes
    return Verdict(PASS, error=worst), notes


def _recorded(model: Any, ids: Tensor, **extra: Any) -> tuple[Recorder, Tensor]:
    model.set_attn_implementation("eager")
    with torch.no_grad(), record(model, stats=("entropy",)) as recorder:
        logits = model(ids, use_cache=False, **extra).logits
    return recorder, logits


def _same(recorder: Recorder, logits: Tensor, own: Eager, rows: slice) -> float:
    """Largest difference in entropy, nats; `Wrong` where it, or a logit's, is too large."""
    scale = max(1.0, float(own.logits.abs().max()))
    error = float((own.logits[:, rows] - logits[:, rows]).abs().max()) / scale
    if not error <= LOGITS:
        raise Wrong(f"logits differ by {error:.2g} of their scale")
    calls = list(recorder.calls.values())
    if len(calls) != len(own.entropies):
        raise Wrong(f"{len(calls)} attention calls recorded, eager had {len(own.entropies)}")
    worst = 0.0
    for call, wanted in zip(calls, own.entropies, strict=True):
        got = torch.from_numpy(call.values("entropy")).double()
        if got.shape != wanted.shape:
            raise Wrong(f"entropies {list(got.shape)}, eager's {list(wanted.shape)}")
        error = float((got - wanted)[:, rows].abs().max())
        if not error <= ENTROPY:
            raise Wrong(f"layer {call.layer}: entropy differs by {error:.2g} nats")
        worst = max(worst, error)
    return worst


def _padded(model: Any, ids: Tensor, side: str) -> tuple[float, str]:
    fill = torch.full((1, PADDING), 3)
    left = side == "left"
    padded = torch.cat([fill, ids] if left else [ids, fill], 1)
    mask = torch.ones_like(padded)
    rows = slice(PADDING, None) if left else slice(0, LENGTH)
    mask[:, :PADDING if left else None] = 0 if left else 1
    if not left:
        mask[:, LENGTH:] = 0
    try:
        own = run_eager(model, padded, attention_mask=mask)
    except Exception as error:
        return 0.0, f"not applicable: {_line(error)}"
    try:
        return _same(*_recorded(model, padded, attention_mask=mask), own, rows), PASS
    except AttentropyError as error:
        return 0.0, f"refused: {_line(error)}"
    except Wrong as error:
        raise Wrong(f"{side} padding: {error}") from None


def _chunked(model: Any, ids: Tensor, own: Eager) -> tuple[float, str]:
    """The prompt in two parts through the cache, where the model's own parts agree with one pass."""
    model.set_attn_implementation("eager")
    scale = max(1.0, float(own.logits.abs().max()))

    def parts() -> Tensor:
        with torch.no_grad():
            first = model(ids[:, :SPLIT], use_cache=True)
            then = model(ids[:, SPLIT:], past_key_values=first.past_key_values, use_cache=True)
        return torch.cat([first.logits, then.logits], 1)

    try:
        error = float((parts() - own.logits).abs().max()) / scale
    except Exception as error:
        return 0.0, f"not applicable: {_line(error)}"
    if not error <= LOGITS:
        return 0.0, "not applicable: its own eager chunks differ from one pass"
    try:
        with record(model, stats=("entropy",), length=LENGTH) as recorder:
            logits = parts()
        return _same(recorder, logits, own, slice(None)), PASS
    except AttentropyError as error:
        return 0.0, f"refused: {_line(error)}"
    except Wrong as error:
        raise Wrong(f"two chunks: {error}") from None


def _lens(model: Any, ids: Tensor) -> Verdict:
    model.set_attn_implementation("eager")
    kept: list[Tensor] = []
    try:
        lens = find_lens(model, ids[:, :16])
        with torch.no_grad(), residuals(decoder_layers(model), kept):
            logits = model(ids, use_cache=False).logits[0]
        read = lens.read(kept[-1][0], top_k=1)
    except AttentropyError as error:
        return Verdict(REFUSED, _line(error))
    logprobs = logits.double().log_softmax(-1)
    wanted = -(logprobs.exp() * logprobs).sum(-1)
    error = float((read.entropy.double() - wanted).abs().max())
    if not error <= LENS:
        return Verdict(WRONG, f"last layer's lens entropy differs by {error:.2g} nats", error)
    return Verdict(PASS, error=error)


def _ids(length: int) -> Tensor:
    # The lowest ids are those of special tokens in the tiny configurations.
    return torch.randint(3, VOCABULARY - 8, (1, length), generator=torch.Generator().manual_seed(1))


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return text if isinstance(error, AttentropyError) else f"{type(error).__name__}: {text}"[:160]
