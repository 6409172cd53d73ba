"""Processor time of each statistic of a short text, next to eager attention by hand, in turns.

python tests/benchmarks/by_hand.py MODEL [TOKENS] [ROUNDS] [ROW …] prints a table. By hand: one pass
with the weights that transformers' eager attention returns, and each statistic from these in
float32; the lens is a loop over the layers' hidden states (norm, product, log_softmax, entropy, KL,
top 5).
One thread; `extract` without answer, map, scores and thumbnails; medians of processor seconds.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from attentropy import extract, record
from attentropy.engine.model.load import load

ALONE: dict[str, Any] = {
    "max_new_tokens": 0, "map_tile": "none", "scores": False, "thumbnails": False,
    "reference": False, "test_sources": "none",
}  # fmt: skip


def entropy(p: Tensor) -> Tensor:
    """Return the entropy of each row, as one writes it."""
    return -(p * torch.log(p.clamp_min(1e-30))).sum(-1)


def varentropy(p: Tensor) -> Tensor:
    """Return the variance of −ln p of each row."""
    surprisal = -torch.log(p.clamp_min(1e-30))
    mean = (p * surprisal).sum(-1, keepdim=True)
    return (p * (surprisal - mean) ** 2).sum(-1)


def distance(p: Tensor) -> Tensor:
    """Return the mean distance of each row's keys."""
    at = torch.arange(p.shape[-1])
    return (p * (at[:, None] - at)).sum(-1)


BY_HAND: dict[str, Callable[[Tensor], Any]] = {
    "entropy": entropy,
    "max_prob": lambda p: (entropy(p), p.amax(-1)),
    "top_key": lambda p: (entropy(p), p.argmax(-1)),
    "sink_mass": lambda p: (entropy(p), p[..., :4].sum(-1)),
    "distance": lambda p: (entropy(p), distance(p)),
    "varentropy": lambda p: (entropy(p), varentropy(p)),
    "max_prob,distance,sink_mass,top_key": lambda p: (
        entropy(p), p.amax(-1), distance(p), p[..., :4].sum(-1), p.argmax(-1),
    ),
}  # fmt: skip


class Text:
    """A model and a text of random tokens, and what reads it."""

    def __init__(self, name: str, tokens: int) -> None:
        self.loaded = load(name)
        self.model: Any = self.loaded.model
        draw = torch.Generator().manual_seed(0)
        size = self.model.config.vocab_size
        self.ids = torch.randint(size // 20, size, (1, tokens), generator=draw)
        self.own = self.model.config._attn_implementation

    @torch.no_grad()
    def by_hand(self, statistic: Callable[[Tensor], Any]) -> None:
        """Run the model with eager attention, and compute a statistic of each layer's weights."""
        self.model.set_attn_implementation("eager")
        weights = self.model(self.ids, output_attentions=True, use_cache=False).attentions
        for p in weights:
            statistic(p.float())
        self.model.set_attn_implementation(self.own)

    @torch.no_grad()
    def lens_by_hand(self) -> None:
        """Read every layer's hidden states through norm and head, one layer after the other."""
        output = self.model(self.ids, output_hidden_states=True, use_cache=False)
        weight, norm = self.model.get_output_embeddings().weight.float(), self.model.model.norm
        final = torch.log_softmax(output.logits[0].float(), -1)
        for state in output.hidden_states[1:-1]:
            log_p = torch.log_softmax(norm(state[0]).float() @ weight.T, -1)
            p = log_p.exp()
            -(p * log_p).sum(-1), (final.exp() * (final - log_p)).sum(-1), log_p.topk(5, -1)

    def record(self, **options: Any) -> None:
        """Record one pass of the model."""
        with record(self.model, **options) as recorder:
            self.model(self.ids, use_cache=False)
        assert recorder.trace["entropy"].size

    def extract(self, **options: Any) -> None:
        """Extract a trace without what a run has besides."""
        extract(
            self.model, self.ids[0].tolist(), tokenizer=self.loaded.tokenizer, **ALONE, **options
        )


def seconds(work: Callable[[], None]) -> float:
    """Return the processor seconds of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(ways: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Return each way's processor seconds per round; a round takes them in another order."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for round_ in range(rounds):
        for i in range(len(ways)):
            at = (i + round_) % len(ways)
            times[at].append(seconds(ways[at]))
    return times


def main(name: str, tokens: int, rounds: int, names: Sequence[str]) -> None:
    """Print the rows `names`, or all; with the versions and the load of the machine."""
    torch.set_num_threads(1)
    text = Text(name, tokens)
    print(f"torch {torch.__version__}, {tokens} tokens, load {os.getloadavg()[0]:.1f}\n")
    print("| recorded | by hand, s | `record`, s | ratio | `extract`, s | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows: dict[str, list[Callable[[], None]]] = {
        stats: [
            lambda work=work: text.by_hand(work),  # type: ignore[misc]
            lambda stats=stats: text.record(stats=stats),  # type: ignore[misc]
            lambda stats=stats: text.extract(stats=stats, lens="none"),  # type: ignore[misc]
        ]
        for stats, work in BY_HAND.items()
    }
    rows["lens"] = [
        text.lens_by_hand,
        lambda: text.record(stats="entropy", lens="residual"),
        lambda: text.extract(stats="none", lens="residual"),
    ]
    for row in names or rows:
        hand, *others = compare(rows[row], rounds)
        cells = [f"{statistics.median(hand):.2f}"]
        for other in others:
            ratio = statistics.median(b / a for a, b in zip(hand, other, strict=True))
            cells += [f"{statistics.median(other):.2f}", f"{ratio:.2f}"]
        print(f"| {row} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    model, *rest = sys.argv[1:]
    tokens, rounds = (*rest[:2], *("512", "5")[len(rest[:2]) :])
    main(model, int(tokens), int(rounds), rest[2:])
