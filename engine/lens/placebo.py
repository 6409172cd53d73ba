"""What the lens shows after placebo questions: the control of a rehearsal, and a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from attentropy.engine.lens.lens import Lens, read_layers
from attentropy.engine.lens.points import States


@dataclass(frozen=True)
class PlaceboStates:
    """The states of placebo questions at their last `shared` tokens, which are the prompt's too.

    states: by site and layer, [count × shared, d], one question after the other. entropies: those
    of the lens at each question's last token [count] in nats, by site and layer, once `greatest`
    has read them.
    """

    states: States
    count: int
    shared: int
    entropies: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def greatest(self, lens: Lens, site: str, layers: Sequence[int], ids: np.ndarray) -> np.ndarray:
        """Return the largest ln P that any question gives each token, [layers, shared].

        ids [layers, shared]: for each layer one token for each of the last tokens, in their order;
        NaN for −1.
        """
        greatest = np.full(ids.shape, np.nan, np.float32)
        read = [(row, layer, state) for row, layer in enumerate(layers)
                if (state := self.states[site][layer]) is not None]  # fmt: skip
        targets = torch.from_numpy(np.tile(ids.clip(0), self.count)).long()
        results = read_layers(
            [lens] * len(read), [state for *_, state in read], top_k=0,
            targets=targets[[row for row, *_ in read]],
        )  # fmt: skip
        for (row, layer, _), result in zip(read, results, strict=True):
            last = result.entropy.float().cpu().numpy()[self.shared - 1 :: self.shared]
            self.entropies[site, layer] = last
            assert result.target_logprob is not None
            values = result.target_logprob.float().cpu().numpy()
            greatest[row] = values.reshape(self.count, self.shared).max(0)  # NaN where any is
        return np.where(ids < 0, np.float32(np.nan), greatest)
