"""What a model does with a text, measured with transformers alone: the evidence of the judge.

Eager attention and hidden states of the text that a trace names by its token ids. Of the project
nothing is imported: a trace is opened as the Zarr store that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor

from real.attention import Attention, LayerAttention, sum_up
from real.reader import Model
from real.words import Words

SINK, IDLE = 0.2, 0.9
ROWS = 256  # of the lens at once


@dataclass(frozen=True)
class Span:
    """A part of the prompt that was tested, tokens [start, stop), and what it is for."""

    start: int
    stop: int
    level: str
    role: str
    id: str
    is_refined: bool

    @property
    def tokens(self) -> range:
        """Its tokens."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Case:
    """A prompt and its answer as token ids, and where the template's last tokens begin.

    roles: of all tokens; read: the positions that the trace's lens read; spans: the parts of the
    prompt that were tested, in the order of the trace.
    """

    ids: list[int]
    prompt: int
    roles: list[str]
    read: list[int]
    attributes: dict[str, Any]
    spans: tuple[Span, ...] = ()

    @classmethod
    def of_trace(cls, path: Path) -> Case:
        """Return the case of a stored trace."""
        store = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".zip" else path
        group = zarr.open_group(store, mode="r")
        attributes = dict(group.attrs)
        lens = np.asarray(group["lens_entropy"][0]) if "lens_entropy" in group else np.zeros((1, 0))
        return cls(
            np.asarray(group["token_ids"][:]).tolist(),
            int(attributes["prompt"]["tokens"]),
            [str(role) for role in group["role"][:]],
            np.flatnonzero(np.isfinite(lens).any(0)).tolist(),
            attributes,
            _spans_of(store),
        )

    @property
    def generated(self) -> list[int]:
        """The tokens of the answer."""
        return self.ids[self.prompt :]

    @property
    def placebos(self) -> int:
        """The number of placebo questions that the run read, besides the judge's own."""
        return int(self.attributes.get("placebo", {}).get("questions", 0))

    @property
    def dummies(self) -> list[int]:
        """The template's tokens after the last word of the prompt."""
        start = self.prompt
        while start and self.roles[start - 1] == "template":
            start -= 1
        return list(range(start, self.prompt)) if start else []


def _spans_of(store: Any) -> tuple[Span, ...]:
    """Return the spans whose sources a trace has."""
    try:
        group = zarr.open_group(store, path="groups/sources", mode="r")
    except FileNotFoundError:
        return ()
    names = ("start", "stop", "level", "role", "id", "refined")
    columns = [group[f"span_{name}"][:].tolist() for name in names]
    return tuple(Span(*row[:5], bool(row[5])) for row in zip(*columns, strict=True))


class Evidence:
    """All that the judge knows of a case, measured when it is first needed."""

    def __init__(self, model: Model, case: Case, system: str | None = None) -> None:
        self.model, self.case, self._system = model, case, system
        self.words = Words(model.tokenizer, case.ids, case.prompt, case.roles)
        layers: list[LayerAttention] = []
        self.states = model.read(
            case.ids, lambda layer, weights: layers.append(sum_up(self._of_prompt(weights), []))
        )
        self.attention = Attention.of_layers(layers)
        self._lens: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._at: dict[int, Tensor] = {}
        self._placebos: dict[tuple[tuple[int, ...], int], Tensor] = {}
        self._without: Attention | None = None

    def _of_prompt(self, weights: Tensor) -> Tensor:
        return weights[:, : self.case.prompt, : self.case.prompt].double()

    def of_layers(self, function: Callable[[int, Tensor], Any]) -> list[Any]:
        """Return function(layer, weights [head, query, key]) over the prompt, for each layer."""
        values: list[Any] = []
        self.model.read(
            self.case.ids[: self.case.prompt],
            lambda layer, weights: values.append(function(layer, self._of_prompt(weights))),
        )
        return values

    def attention_without_sinks(self) -> Attention:
        """Return attention as if the queries could not see the sink keys of each layer."""
        if self._without is None:
            keys = [np.flatnonzero(one).tolist() for one in self.is_sink()]
            layers = self.of_layers(lambda layer, weights: sum_up(weights, keys[layer]))
            self._without = Attention.of_layers(layers)
        return self._without

    def is_greedy(self) -> bool:
        """Return whether each generated token is the model's most likely one."""
        before = self.states[-1, self.case.prompt - 1 : -1]
        return self.model.logprobs(before).argmax(-1).tolist() == self.case.generated

    def is_sink(self) -> np.ndarray:
        """Return which keys without content receive much of a layer's attention, [layer, key]."""
        seeing, n = self.attention.seeing, self.case.prompt
        likely = np.array([not self.words.is_content(key) for key in range(n)])
        likely[0] = True
        enough = seeing >= np.maximum(8, seeing.max(1, keepdims=True) / 10)
        share = self.attention.received
        return likely & enough & (share >= SINK) & (share >= 2 * self.attention.uniform)

    def sinks(self) -> list[int]:
        """Return the sink keys: those that are sinks in two layers or more."""
        return np.flatnonzero(self.is_sink().sum(0) >= 2).tolist()

    def idle(self) -> np.ndarray:
        """Return the share of each head's queries with nearly all on a sink key, [layer, head]."""
        is_sink = torch.from_numpy(self.is_sink())

        def share(layer: int, weights: Tensor) -> np.ndarray:
            often = (weights[:, 1:, is_sink[layer]] > IDLE).any(-1)
            return often.double().mean(-1).numpy()

        return np.stack(self.of_layers(share))

    def of_placebos(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return normalized entropy over all keys, and without sink keys, and the lens's entropy.

        The last one at the last token; [placebo, layer] each.
        """
        rows = []
        for ids in self.model.placebos(self._system):
            own = Evidence(self.model, Case(ids, len(ids), ["content"] * len(ids), [], {}))
            rows.append((
                own.attention.heads["all_keys"].mean(1),
                own.attention_without_sinks().heads["normalized"].mean(1),
                entropy_of(self.model.logprobs(own.states[:, -1])),
            ))  # fmt: skip
        all_keys, without_sinks, lens = (np.array(column) for column in zip(*rows, strict=True))
        return all_keys, without_sinks, lens

    @torch.no_grad()
    def induction(self) -> np.ndarray:
        """Return each head's weight on the key after the same token, on random tokens twice."""
        tokenizer, shares = self.model.tokenizer, []
        special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        order = np.random.default_rng(7).permutation(len(tokenizer)).tolist()
        half = [token for token in order if token not in special][:64]
        first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        queries = np.arange(len(first) + 64, len(first) + 128)

        def keep(layer: int, weights: Tensor) -> None:
            shares.append(weights[:, queries, queries - 63].mean(-1).numpy())

        self.model.read([*first, *half, *half], keep)
        return np.stack(shares)

    def at(self, position: int) -> Tensor:
        """Return ln P of the lens at a position, [layer, vocabulary]."""
        if position not in self._at:
            self._at[position] = self.model.logprobs(self.states[:, position])
        return self._at[position]

    def lens(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return entropy, KL and top token at the positions read, [layer, position] each."""
        if self._lens is None:
            at = [p for p in self.case.read if p < self.case.prompt]
            shape = len(self.states), len(at)
            entropy, kl, top = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
            for start in range(0, len(at), ROWS):
                rows = slice(start, start + ROWS)
                final = self.model.logprobs(self.states[-1, at[rows]])
                for layer, states in enumerate(self.states):
                    own = self.model.logprobs(states[at[rows]])
                    entropy[layer, rows] = entropy_of(own)
                    kl[layer, rows] = (final.exp() * (final - own)).sum(-1)
                    top[layer, rows] = own.argmax(-1)
            self._lens = entropy, kl, top
        return self._lens

    def skill(self) -> tuple[np.ndarray, np.ndarray]:
        """Return skill and agreement of each layer."""
        entropy, kl, top = self.lens()
        at = [p for p in self.case.read if p < self.case.prompt]
        counts = np.array([p > 0 and p not in self.case.dummies for p in at])
        room = math.log(self.model.model.config.vocab_size) - entropy[-1, counts]
        skill = 1 - kl[:, counts].sum(1) / room.sum()
        return skill, (top[:, counts] == top[-1, counts]).mean(1)

    def placebo(self, token: int) -> np.ndarray:
        """Return the greatest P that any placebo gives a token, [layer, template token]."""
        dummies, greatest = self.case.dummies, None
        for ids in self.model.placebos(self._system):
            tail = [self.case.ids[p] for p in dummies]
            matches = np.cumprod([a == b for a, b in zip(tail[::-1], ids[::-1], strict=False)])
            shared = int(matches.sum())
            own = np.full((len(self.states), len(dummies)), np.nan)
            states = self._placebo_states(tuple(ids), shared)
            own[:, len(dummies) - shared :] = states[..., token].exp().numpy()
            greatest = own if greatest is None else np.fmax(greatest, own)
        return np.full((len(self.states), len(dummies)), np.nan) if greatest is None else greatest

    def _placebo_states(self, ids: tuple[int, ...], shared: int) -> Tensor:
        """Return ln P of a placebo at its last tokens, [layer, token, vocabulary]."""
        key = ids, shared
        if key not in self._placebos:
            self._placebos[key] = self.model.logprobs(self.model.read(ids)[:, len(ids) - shared :])
        return self._placebos[key]


def entropy_of(logprobs: Tensor) -> np.ndarray:
    """Return the entropy of ln P [rows, vocabulary], [rows]."""
    entropy: np.ndarray = -(logprobs.exp() * logprobs).sum(-1).numpy()
    return entropy
