"""What a model does with a text, measured with transformers alone: the evidence of the judge.

Eager attention and hidden states of the text that a trace names by its token ids. Of the project
nothing is imported: a trace is opened as the Zarr store that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from real.words import Words

LOCAL = 64  # keys of the score `local`
ENOUGH = 16  # keys that a row sees, for what is said of sinks and of attention without them
SINK, IDLE = 0.2, 0.9
ROWS = 256  # of the lens at once

# Questions for the same template that ask for other kinds of answer than a place or a name.
PLACEBOS = (
    "How many legs does a spider have?",
    "Is glass made of sand?",
    "Which is heavier, a feather or a hammer?",
    "How do you spell the word rhythm?",
    "Give me a rhyme for the word moon.",
    "Describe the taste of a lemon in one sentence.",
    "Write a loop in C that counts to ten.",
)


@dataclass(frozen=True)
class Case:
    """A prompt and its answer as token ids, and where the template's last tokens begin.

    roles: of all tokens; read: the positions that the trace's lens read.
    """

    ids: list[int]
    prompt: int
    roles: list[str]
    read: list[int]
    attributes: dict[str, Any]

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
        )

    @property
    def generated(self) -> list[int]:
        """The tokens of the answer."""
        return self.ids[self.prompt :]

    @property
    def dummies(self) -> list[int]:
        """The template's tokens after the last word of the prompt."""
        start = self.prompt
        while start and self.roles[start - 1] == "template":
            start -= 1
        return list(range(start, self.prompt)) if start else []


@dataclass
class LayerAttention:
    """What the heads of a layer do over the queries of the prompt.

    heads: means [head] by name. received [key]: mean over heads and over the queries that see the
    key; seeing [key]: how many these are; uniform [key]: what uniform rows would give it. rows:
    how many of the layer's rows `normalized` is the mean of.
    """

    heads: dict[str, np.ndarray]
    received: np.ndarray
    seeing: np.ndarray
    uniform: np.ndarray
    rows: np.ndarray


@dataclass
class Attention(LayerAttention):
    """The same of all layers, which is the first axis."""

    @classmethod
    def of_layers(cls, layers: Sequence[LayerAttention]) -> Attention:
        """Return the layers as one."""
        names = layers[0].heads
        heads = {name: np.stack([one.heads[name] for one in layers]) for name in names}
        arrays = ("received", "seeing", "uniform", "rows")
        return cls(heads, *(np.stack([getattr(one, key) for one in layers]) for key in arrays))


class Model:
    """A model of transformers with eager attention, in float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        options = {"attn_implementation": "eager", "dtype": torch.float32}
        self.model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
        self.layers = list(self.model.model.layers)

    @torch.no_grad()
    def read(
        self, ids: Sequence[int], on_weights: Callable[[int, Tensor], None] | None = None
    ) -> Tensor:
        """Return the residual stream after each layer, [layer, position, width].

        `on_weights` gets each layer's weights [head, query, key].
        """
        states: list[Tensor] = []
        with self._listening(states, on_weights):
            self.model(torch.tensor([list(ids)]), use_cache=False, logits_to_keep=1)
        return torch.stack(states)

    @contextmanager
    def _listening(self, states: list[Tensor], on_weights: Any) -> Iterator[None]:
        def on_layer(module: Any, arguments: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            states.append(first.reshape(-1, first.shape[-1]))

        def on_attention(number: int) -> Any:
            return lambda module, arguments, output: on_weights(number, output[1][0])

        hooks = [layer.register_forward_hook(on_layer) for layer in self.layers]
        if on_weights is not None:
            hooks += [
                layer.self_attn.register_forward_hook(on_attention(number))
                for number, layer in enumerate(self.layers)
            ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def logprobs(self, states: Tensor) -> Tensor:
        """Return ln P of the logit lens, [position, vocabulary]."""
        logits = self.model.lm_head(self.model.model.norm(states))
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return (cap * torch.tanh(logits / cap) if cap else logits).log_softmax(-1)

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Return the token ids of a chat, up to the answer."""
        template = self.tokenizer.apply_chat_template
        ids: list[int] = template(messages, add_generation_prompt=True, return_dict=False)
        return ids

    def placebos(self, system: str | None = None) -> list[list[int]]:
        """Return the placebo questions as token ids; none where there is no chat template."""
        if not self.tokenizer.chat_template:
            return []
        first = [{"role": "system", "content": system}] if system else []
        return [self.chat([*first, {"role": "user", "content": one}]) for one in PLACEBOS]


class Evidence:
    """All that the judge knows of a case, measured when it is first needed."""

    def __init__(self, model: Model, case: Case, system: str | None = None) -> None:
        self.model, self.case, self._system = model, case, system
        self.words = Words(model.tokenizer, case.ids, case.prompt)
        layers: list[LayerAttention] = []
        self.states = model.read(
            case.ids, lambda layer, weights: layers.append(_sum_up(self._of_prompt(weights), []))
        )
        self.attention = Attention.of_layers(layers)
        self._lens: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._placebos: dict[tuple[tuple[int, ...], int], list[Tensor]] = {}

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

    def attention_without(self, keys: Sequence[Sequence[int]]) -> Attention:
        """Return attention as if the queries could not see some keys, per layer."""
        return Attention.of_layers(
            self.of_layers(lambda layer, weights: _sum_up(weights, list(keys[layer])))
        )

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

    def at(self, layer: int, position: int) -> Tensor:
        """Return ln P [vocabulary] of the lens in one cell."""
        return self.model.logprobs(self.states[layer, [position]])[0]

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
                    entropy[layer, rows] = -(own.exp() * own).sum(-1)
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
            states = self._placebo_states(tuple(ids), shared)
            own = np.full((len(states), len(dummies)), np.nan)
            for layer, one in enumerate(states):
                own[layer, len(dummies) - shared :] = one[:, token].exp().numpy()
            greatest = own if greatest is None else np.fmax(greatest, own)
        return np.full((len(self.states), len(dummies)), np.nan) if greatest is None else greatest

    def _placebo_states(self, ids: tuple[int, ...], shared: int) -> list[Tensor]:
        """Return ln P of a placebo at its last tokens, by layer."""
        key = ids, shared
        if key not in self._placebos:
            states = self.model.read(ids)[:, len(ids) - shared :]
            self._placebos[key] = [self.model.logprobs(one) for one in states]
        return self._placebos[key]


def _sum_up(weights: Tensor, hidden: list[int]) -> LayerAttention:
    """Return what the heads of a layer do; `hidden`: keys that are taken out of the rows."""
    n = weights.shape[-1]
    at = torch.arange(n)
    visible = _visible(weights)
    near = (at > at[:, None] - LOCAL) & visible
    heads = {
        "local": (weights * near).sum(-1).mean(-1),
        "previous": weights[:, at[1:], at[:-1]].mean(-1),
    }
    seeing = visible.sum(0)
    received = weights.mean(0).sum(0) / seeing.clamp_min(1)
    uniform = (visible / visible.sum(-1, keepdim=True)).sum(0) / seeing.clamp_min(1)
    visible[:, hidden] = False
    rows = visible.sum(-1) >= ENOUGH
    rows[hidden] = False
    heads["normalized"] = _normalized(weights[:, rows], visible[rows])
    values = {name: value.numpy() for name, value in heads.items()}
    arrays = (one.numpy() for one in (received, seeing, uniform, rows.sum()))
    return LayerAttention(values, *arrays)


def _normalized(weights: Tensor, visible: Tensor) -> Tensor:
    """Return the mean over rows of normalized entropy over the visible keys, [head]."""
    weights = weights.masked_fill(~visible, 0.0)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-300)
    entropy = -(weights * torch.where(weights > 0, weights, 1.0).log()).sum(-1)
    return (entropy / visible.sum(-1).log()).mean(-1)


def _visible(weights: Tensor) -> Tensor:
    """Return which keys each query sees: causal, and as far back as any head of the layer looks.

    A weight outside a window is exactly zero, one inside may underflow in some heads.
    """
    n = weights.shape[-1]
    at = torch.arange(n)
    visible = at <= at[:, None]
    distance = (at[:, None] - at)[(weights > 0).any(0)]
    reach = int(distance.max()) + 1 if len(distance) else n
    return visible & (at > at[:, None] - reach)
