"""Read ln p of each token of the text under the model's own output, chunk after chunk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from attentropy.engine.lens.lens import Lens
from attentropy.engine.lens.points import Point, States, capture_states
from attentropy.engine.trace.layout import ArrayLayout, array_layout
from attentropy.engine.trace.sinks import Sink

NAME = "token_logprob"
_STATE = "token_logprobs.state"


class TokenLogprobs:
    """Reads what the model gave each token before it saw it: ln p(token | the tokens before it).

    lens: the model's own path from the last layer, `last`, to the vocabulary. No logits are stored:
    a chunk's states go through the vocabulary operation with one target per row. A token is
    predicted at the row before it, so the last state of each chunk is kept for the next one.
    """

    def __init__(self, lens: Lens, last: nn.Module) -> None:
        self._lens = lens
        self._points = {NAME: [Point(last)]}
        self._state: Tensor | None = None

    def fields(self, tokens: int, step: int, storage: str) -> dict[str, ArrayLayout]:
        """Return the array of a text of `tokens` tokens, `step` of them in a stored chunk."""
        return {NAME: array_layout(NAME, ("query",), (tokens,), step, storage)}

    def capture(self) -> AbstractContextManager[States]:
        """Capture the states of the pass that runs while this is open; see `read`."""
        return capture_states(self._points)

    def read(self, sink: Sink, states: States, ids: Tensor, start: int) -> dict[str, Tensor]:
        """Write the values of the chunk's tokens `ids` [n], which begins at token `start`.

        The first token of the text has none (NaN). Returns the tensors from which `restore`
        continues.
        """
        state = states[NAME][0]
        assert state is not None
        earlier = self._state if start else None
        before = state[:-1] if earlier is None else torch.cat([earlier, state[:-1]])
        self._state = state[-1:].clone()
        values = torch.full((len(ids),), torch.nan)
        if len(before):
            targets = ids[len(ids) - len(before) :]
            result = self._lens.read(before, top_k=0, targets=targets)
            assert result.target_logprob is not None
            values[len(ids) - len(before) :] = result.target_logprob.float().cpu()
        sink.put(NAME, (slice(start, start + len(ids)),), values)
        return {_STATE: self._state.cpu()}

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Continue after the chunk for which `read` returned `tensors`."""
        if (state := tensors.get(_STATE)) is not None:
            self._state = state.to(device)
