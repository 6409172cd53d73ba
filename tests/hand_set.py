"""A reader of hand-set numbers, and layouts from lists of tokens, for the tests of sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from attentropy.engine.sources.cost import Speed
from attentropy.engine.sources.hiding import Variant
from attentropy.engine.sources.layout import Layout
from attentropy.engine.sources.measure import SourceOptions, measure
from attentropy.engine.sources.results import Sources

Rule = Callable[[int, frozenset[int]], float]
LAYERS = 4
PACE = Speed(1.0, 10, 1)  # a second per row


def tokens(text: str) -> list[str]:
    """Return tokens of a text: words with the blank before them, marks alone, newlines alone."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        for i, word in enumerate(line.rstrip("\n").split(" ")):
            mark = word[-1:] if word[-1:] in ".?:,!" and len(word) > 1 else ""
            parts += [(" " if i else "") + word.removesuffix(mark), mark]
        parts += ["\n"] if line.endswith("\n") else []
    return [part for part in parts if part]


def layout(
    prompt: str | Sequence[str], answer: str | Sequence[str], *, system: str = "",
    segments: Sequence[str] = (),
) -> Layout:  # fmt: skip
    """Return a chat's layout: a beginning, the system turn, the prompt's turn, and the answer."""
    own = tokens(prompt) if isinstance(prompt, str) else list(prompt)
    words = tokens(system)
    reply = tokens(answer) if isinstance(answer, str) else list(answer)
    head = ["<s>", *words, "<u>"] if words else ["<s>"]
    texts = [*head, *own, "<a>", *reply]
    roles = ["bos"] + ["content"] * len(words) + ["template"] * bool(words)
    roles += ["content"] * len(own) + ["template"] + ["generated"] * len(reply)
    count = len(texts) - len(reply)
    messages = [-1] + [0] * len(words) + [-1] * bool(words)
    messages += [1 if words else 0] * len(own) + [-1]
    names = [""] * len(head) + list(segments) + [""] if segments else []
    return Layout(
        texts, roles, count, messages, names, ["system", "user"] if words else ["user"],
        special=frozenset(i for i, text in enumerate(texts[:count]) if text.startswith("<")),
    )  # fmt: skip


class HandSet:
    """A reader in which `rule(step, hidden keys of its row)` is ln p of a step.

    A layered rule takes the layers that hide too: `by_layer(step, hidden, first layer)`. mass: the
    weight of some tokens; others share what is left. `read` has every variant that was asked for.
    """

    def __init__(
        self, own: Layout, rule: Rule, *, total: Rule | None = None,
        mass: dict[int, float] | None = None,
        by_layer: Callable[[int, frozenset[int], int], float] | None = None, noise: float = 0.0,
    ) -> None:  # fmt: skip
        self.steps, self.prompt_tokens = own.steps, own.prompt_tokens
        self._rule, self._total = rule, total or rule
        self._by_layer, self._noise = by_layer, noise
        self._mass = mass or {}
        self.read: list[Variant] = []
        self.totals: list[tuple[int, int]] = []
        self.calls = 0

    def direct(self, variants: Sequence[Variant]) -> np.ndarray:
        self.calls += 1
        self.read += variants
        noise = self._noise * (self.calls % 2)
        return np.array(
            [[self._one(v, step) + noise for step in range(self.steps)] for v in variants]
        )

    def _one(self, variant: Variant, step: int) -> float:
        row = self.prompt_tokens - 1 + step
        own = [part for part in variant if part.first_row <= row]
        hidden = frozenset(i for part in own for i in range(part.start, part.stop) if i != row)
        if self._by_layer is not None:
            first = max((part.layers[0] for part in own if part.layers), default=0)
            return self._by_layer(step, hidden, first)
        return self._rule(step, hidden)

    def total(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        self.totals += spans
        return np.array([
            [self._total(step, frozenset(range(*span))) for step in range(self.steps)]
            for span in spans
        ])  # fmt: skip

    def remove(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        return self.total(spans)

    @property
    def unhidden(self) -> tuple[np.ndarray, np.ndarray]:
        rest = (1 - sum(self._mass.values())) / (2 * self.prompt_tokens)
        weights = [self._mass.get(i, rest) for i in range(self.prompt_tokens)]
        return self.direct([()])[0], np.array([weights] * LAYERS)


def run(own: Layout, reader: HandSet, **options: object) -> Sources:
    """Return what the tests say."""
    choice = SourceOptions(**options)  # type: ignore[arg-type]
    return measure(own, reader, range(LAYERS), PACE, choice)


def labels(sources: Sources, word: str) -> dict[str, str]:
    """Return the label of each span for one word of the answer, by the span's text."""
    return {
        row["text"].strip(): row["label"] for row in sources.table() if row["word_text"] == word
    }


def places(own: Layout) -> tuple[dict[str, int], dict[str, int]]:
    """Return the place of each word of the prompt, and of each word of the answer."""
    texts = [text.strip() for text in own.tokens]
    prompt = {text: i for i, text in enumerate(texts[: own.prompt_tokens])}
    answer = {text: i for i, text in enumerate(texts) if i >= own.prompt_tokens}
    return prompt, answer
