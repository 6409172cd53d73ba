"""The ids that a model was given, put in their places in each sequence of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from attentropy.engine.attention.visibility import Visibility

UNKNOWN = -1  # the id of a token that the model was given as an embedding
_TWO = -2  # of a place that two passes gave different ids
# Configurations of models that read images name the ids that stand for one in the text so.
_IMAGE_NAMES = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


@dataclass(frozen=True)
class _PassIds:
    """The ids [batch, queries] of one pass that starts at row `position` of the padded batch.

    starts and stops: the rows [batch] at which each sequence's tokens start and stop.
    """

    ids: np.ndarray
    position: int
    starts: np.ndarray
    stops: np.ndarray


class TokenIds:
    """The ids of one batch, pass after pass."""

    def __init__(self) -> None:
        self._parts: list[_PassIds] = []

    def add(self, ids: Tensor | None, visibility: Visibility, size: int) -> None:
        """Take the ids [size, queries] of a pass, None for embeddings."""
        if ids is None or tuple(ids.shape) != (size, visibility.queries):
            return
        starts, stops = (ends.numpy() for ends in visibility.tokens(size))
        self._parts.append(_PassIds(ids.cpu().numpy(), visibility.position, starts, stops))

    def of(self, sequence: int, tokens: int) -> list[int]:
        """Return the ids of one sequence of `tokens` tokens; `UNKNOWN` where none was given."""
        ids = np.full(tokens, UNKNOWN, np.int64)
        for part in self._parts:
            start, stop = int(part.starts[sequence]), int(part.stops[sequence])
            first = max(part.position, start)
            last = min(part.position + part.ids.shape[1], stop, start + tokens)
            if last <= first:
                continue
            new = part.ids[sequence, first - part.position : last - part.position]
            place = ids[first - start : last - start]
            place[...] = np.where((place == UNKNOWN) | (place == new), new, _TWO)
        return [int(token) if token != _TWO else UNKNOWN for token in ids]


def image_ids(config: Any) -> set[int]:
    """Return the ids that stand for a part of an image or a video in a model's text."""
    ids = (getattr(config, name, None) for name in _IMAGE_NAMES)
    return {token for token in ids if isinstance(token, int)}
