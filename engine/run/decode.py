"""Generate tokens one after the other, with nothing recorded: greedily, or drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.model.load import LoadedModel


@dataclass(frozen=True)
class Sampling:
    """How each token is chosen.

    The most likely one where `temperature` is None; otherwise drawn from the output at that
    temperature, among the fewest tokens that hold a probability of `top_p` together. Each draw
    depends on `seed` and on the number of its step alone, so that a resumed run repeats it.
    """

    temperature: float | None = None
    top_p: float = 1.0
    seed: int = 0

    def facts(self) -> dict[str, Any]:
        """Return what a trace's options say of it."""
        if self.temperature is None:
            return {"decoding": "greedy"}
        return {
            "decoding": "sampled", "temperature": self.temperature, "top_p": self.top_p,
            "seed": self.seed,
        }  # fmt: skip


GREEDY = Sampling()
_NUCLEUS = 1024  # so many tokens are looked through first; sorting a vocabulary takes longer


@dataclass(frozen=True)
class Token:
    """A generated token, and what the model's output said of it, whatever `Sampling` chose from.

    logprob: ln P. rank: how many tokens were more likely. entropy: of P, in nats.
    """

    id: int
    logprob: float
    rank: int
    entropy: float


def end_ids(loaded: LoadedModel) -> set[int]:
    """Return the tokens after which a turn ends."""
    ends: set[int | None] = set()
    generation = getattr(loaded.model, "generation_config", None)
    for holder in (generation, loaded.model.config, loaded.tokenizer):
        value = getattr(holder, "eos_token_id", None)
        ends |= set(value) if isinstance(value, (list, tuple)) else {value}
    return {int(i) for i in ends if i is not None}


def decode(
    loaded: LoadedModel,
    ids: Tensor,
    logits: Tensor,
    cache: Any,
    sampling: Sampling,
    *,
    step: int,
    count: int,
) -> list[Token]:
    """Return at most `count` tokens that continue `ids` [1, N], up to the end of turn.

    logits [1, V] are those after `ids`, `cache` has its keys and values (without one all tokens
    are read again in each step) and then those of all tokens but the last. step: the number of the
    first token among all that are generated.
    """
    ends, tokens, sequence = end_ids(loaded), list[Token](), ids
    with torch.inference_mode():
        while True:
            tokens.append(choose(logits, sampling, step + len(tokens)))
            if tokens[-1].id in ends or len(tokens) == count:
                return tokens
            new = torch.tensor([[tokens[-1].id]], device=ids.device)
            if cache is None:
                sequence = torch.cat([sequence, new], 1)
                output = loaded.model(sequence, use_cache=False, logits_to_keep=1)
            else:
                output = loaded.model(new, use_cache=True, logits_to_keep=1, **continuing(cache))
                cache = cache_of(output)
            logits = output.logits[:, -1]


def choose(logits: Tensor, sampling: Sampling, step: int) -> Token:
    """Return the token of one step; logits [1, V]."""
    logprobs = logits[0].float().log_softmax(-1)
    is_greedy = sampling.temperature is None
    at = logprobs.argmax(-1) if is_greedy else _draw(logprobs, sampling, step)
    own = logprobs[at]
    numbers = torch.stack(  # one copy from the device for all
        [at.double(), own.double(), (logprobs > own).sum().double(), _entropy(logprobs).double()]
    ).tolist()
    return Token(int(numbers[0]), numbers[1], int(numbers[2]), numbers[3])


def _entropy(logprobs: Tensor) -> Tensor:
    """Return −Σ p ln p; a probability of zero adds nothing."""
    return torch.special.entr(logprobs.exp()).sum()


def _draw(logprobs: Tensor, sampling: Sampling, step: int) -> Tensor:
    """Return the index that the step's random number falls on, [] int64."""
    assert sampling.temperature is not None
    weights = (logprobs / sampling.temperature).softmax(-1)
    order = None
    if sampling.top_p < 1:
        weights, order = _nucleus(weights, sampling.top_p)
    bounds = weights.double().cumsum(-1)
    drawn = np.random.default_rng([sampling.seed, step]).random() * bounds[-1]
    at = torch.searchsorted(bounds, drawn.reshape(1), right=True)[0]
    last = (weights > 0).nonzero()[-1, 0]  # where rounding leads beyond all that can be drawn
    at = torch.minimum(at, last)
    return at if order is None else order[at]


def _nucleus(weights: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Return the fewest of `weights` [V] that hold `top_p` together, and their indices."""
    size = min(len(weights), _NUCLEUS)
    values, order = weights.topk(size)
    if size < len(weights) and float(values.double().sum()) < top_p:  # few outputs are so flat
        values, order = weights.sort(descending=True)
    before = values.double().cumsum(-1) - values
    return torch.where(before < top_p, values, 0.0), order
