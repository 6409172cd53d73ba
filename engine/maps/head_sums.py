"""Sum up the head scores of a run chunk by chunk, in O(heads) memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.maps.head_scores import LOCAL_KEYS, SCORES
from attentropy.kernels.sweep import attention_at, attention_recent

# What is summed per head; "entropy" and "diffuse" are of the same queries.
_SUMMED = ("sink", "local", "previous", "entropy", "diffuse")
_UNIFORM = ("sink", "local", "previous")


class HeadSums:
    """Sums over the queries of every entry's heads; `scores` are their means.

    `heads`: the number of heads of each entry (an attention call of a layer), 0 where none is
    recorded. Every score is the mean over the queries that see what it is about: the first key,
    the token before, any key, two keys or more. What a uniform row would give is summed over the
    same queries.
    """

    def __init__(self, heads: Sequence[int]) -> None:
        entries, largest = len(heads), max(heads, default=0)
        self._sums = {name: np.zeros((entries, largest)) for name in _SUMMED}
        self._uniform = {name: np.zeros(entries) for name in _UNIFORM}
        self._queries = {name: np.zeros(entries, np.int64) for name in _SUMMED}
        self._keys = np.zeros(entries, np.int64)  # the most that a query saw
        self._heads = list(heads)

    def add(self, entry: int, call: SequenceCall) -> None:
        """Take in the tokens' queries of one pass, padding left out; see `of_tokens`."""
        query, key, lse, entropy = call.query, call.key, call.lse, call.entropy
        visibility, where = call.visibility, call.where
        visible = visibility.counts(1)[0]
        at = torch.arange(visibility.queries) + visibility.mask.query_offset
        self._keys[entry] = max(self._keys[entry], int(visible.max()))
        parts: dict[str, Tensor] = {}
        targets = {"previous": at - 1}
        if not visibility.first_key:  # else the cache has dropped the first key: no query sees it
            targets["sink"] = torch.zeros_like(at)
        for name, keys in targets.items():
            sees = visibility.mask.visible_pairs(keys[None])[0]
            if bool(sees.any()):
                keys = torch.where(sees, keys, -1)[None].to(query.device)
                parts[name] = attention_at(query, key, lse, keys, **where)[0].sum(-1)
                self._count(name, entry, sees, 1 / visible.clamp_min(1))
        any_key = visible >= 1
        if visibility.mask.causal and bool(any_key.any()):  # without an order no key is the last
            parts["local"] = attention_recent(query, key, lse, LOCAL_KEYS, **where)[0].sum(-1)
            self._count(
                "local", entry, any_key, visible.clamp_max(LOCAL_KEYS) / visible.clamp_min(1)
            )
        two = visible >= 2
        if entropy is not None and bool(two.any()):
            rows = two.to(entropy.device)
            ceiling = visible.clamp_min(2).log().to(entropy.device)
            parts["entropy"] = torch.where(rows, entropy[0], 0.0).sum(-1)
            parts["diffuse"] = torch.where(rows, entropy[0] / ceiling, 0.0).sum(-1)
            for name in ("entropy", "diffuse"):
                self._queries[name][entry] += int(two.sum())
        if parts:  # one copy from the device for all
            sums = torch.stack([part.float() for part in parts.values()]).cpu().double().numpy()
            for name, values in zip(parts, sums, strict=True):
                self._sums[name][entry, : len(values)] += values

    def _count(self, name: str, entry: int, rows: Tensor, uniform: Tensor) -> None:
        self._queries[name][entry] += int(rows.sum())
        self._uniform[name][entry] += float(uniform[rows].double().sum())

    def scores(self) -> dict[str, np.ndarray]:
        """Return head_entropy, head_sink … [entries, heads] and uniform_sink … [entries], float32.

        NaN where nothing was measured, and where the prompt, or what a window shows of it, is too
        short for the score (`HeadScore.keys_needed`).
        """
        scores: dict[str, np.ndarray] = {}
        exists = np.arange(max(self._heads, default=0)) < np.array(self._heads)[:, None]
        for name in _SUMMED:
            needed = SCORES[name].keys_needed if name in SCORES else 0
            n = np.where(self._keys >= needed, self._queries[name], 0)
            mean = self._sums[name] / np.where(n > 0, n, np.nan)[:, None]
            scores[f"head_{name}"] = np.where(exists, mean, np.nan).astype(np.float32)
            if name in _UNIFORM:
                uniform = self._uniform[name] / np.where(n > 0, n, np.nan)
                scores[f"uniform_{name}"] = uniform.astype(np.float32)
        return scores

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all sums so far, to be saved."""
        return {name: values.copy() for name, values in self._named().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what `state` returned."""
        for name, values in self._named().items():
            values[...] = state[name]

    def _named(self) -> dict[str, np.ndarray]:
        groups: dict[str, dict[str, np.ndarray]] = {
            "sum": self._sums, "uniform": self._uniform, "queries": self._queries,
        }  # fmt: skip
        named = {f"{group}_{n}": v for group, sums in groups.items() for n, v in sums.items()}
        return named | {"most_keys": self._keys}
