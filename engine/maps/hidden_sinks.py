"""Follow which keys are a layer's sinks, and sweep the layer once more with these keys hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.trace.audience import Audience, audience_of
from attentropy.engine.trace.sink_keys import sinks_of_layer
from attentropy.engine.trace.statistics import TOP_KEY_WITHOUT_SINKS
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import AttentionResult, attention

Rows = dict[str, tuple[int, np.ndarray]]


class HiddenSinks:
    """The sink keys of every entry as far as they are known, and what its rows are without them.

    `is_possible` [tokens] says which tokens may be sinks. A layer's sinks are known once its pass
    has added up what each key receives: a prompt that is read in one pass hides exactly the keys
    that are sinks at the end, a chunk those that are sinks by its own end. `names` are the
    variables that are kept; without any there is no further sweep.
    """

    def __init__(self, entries: int, is_possible: np.ndarray, names: Sequence[str]) -> None:
        self.is_possible = is_possible
        self.names = tuple(names)
        self._is_sink = np.zeros((entries, len(is_possible)), np.uint8)
        self._end = 0  # of the pass whose audiences are at hand
        self._audiences: dict[tuple[Mask, bytes], Audience] = {}

    @property
    def is_sink(self) -> np.ndarray:
        """Which tokens of the prompt are sinks so far, [entry, tokens] of 0 and 1."""
        return self._is_sink

    def update(self, entry: int, here: SequenceCall, received: np.ndarray) -> None:
        """Judge the keys by what they have received so far, [tokens], the pass `here` included."""
        audience = self._audience(here.visibility)
        self._is_sink[entry] = sinks_of_layer(received, audience, self.is_possible)[0]

    def rows(self, entry: int, call: SequenceCall) -> Rows:
        """Return the statistics of the pass's rows without the sink keys, [heads, rows] by name.

        Nothing where the pass has none of these keys. A query at a sink key has no values, since
        the mask hides keys by setting them and their queries apart.
        """
        if not self.names:
            return {}
        first, keys = call.visibility.first_key, call.visibility.mask.keys
        hidden = np.zeros(keys, bool)
        inside = self._is_sink[entry, first : first + keys]
        hidden[: len(inside)] = inside
        if not hidden.any():
            return {}
        result = attention_without(
            call.query, call.key, hidden[None], call.where, "entropy,top_key"
        )  # fmt: skip
        mass = -torch.expm1(result.lse.float() - call.lse.float())
        assert result.entropy is not None
        assert result.top_key is not None
        top_key = torch.where(result.top_key >= 0, result.top_key + first, -1)
        values = {
            "sink_key_mass": mass.clamp(0.0, 1.0), "entropy_without_sinks": result.entropy,
            TOP_KEY_WITHOUT_SINKS: top_key,
        }  # fmt: skip
        start, stop = call.rows
        at_sink = np.zeros(stop - start, bool)
        own = self._is_sink[entry, start:stop]
        at_sink[: len(own)] = own
        rows: Rows = {}
        for name in self.names:
            part = values[name][0].cpu().numpy()
            missing = -1 if part.dtype.kind == "i" else np.nan
            rows[name] = (start, np.where(at_sink, part.dtype.type(missing), part))
        return rows

    def _audience(self, visibility: Visibility) -> Audience:
        """Return what the queries see up to the end of a pass.

        The layers of a model have one mask, or two: it is computed once for each and pass.
        """
        mask = _mask_so_far(visibility)
        last = mask.last_keys
        key = replace(mask, last_keys=None), b"" if last is None else last.cpu().numpy().tobytes()
        if visibility.end != self._end:
            self._end, self._audiences = visibility.end, {}
        if key not in self._audiences:
            visible = mask.counts(torch.device("cpu"))[0].numpy()
            self._audiences[key] = audience_of(visible, len(self.is_possible))
        return self._audiences[key]

    def restore(self, is_sink: np.ndarray) -> None:
        """Continue from an earlier `is_sink`."""
        self._is_sink[...] = is_sink


def attention_without(
    query: Tensor, key: Tensor, hidden: np.ndarray, where: Mapping[str, Any], stats: str
) -> AttentionResult:
    """Return attention over the keys that are not `hidden` [sequences, keys] bool.

    The queries at a hidden key see the hidden keys alone.
    """
    segments = torch.from_numpy(hidden.astype(np.int32)).to(query.device)
    # Values are not needed; the keys stand for them.
    return attention(query, key, key, **where, segments=segments, stats=stats)


def _mask_so_far(visibility: Visibility) -> Mask:
    """Return the mask of all queries from the first token to the end of a pass."""
    mask, dropped = visibility.mask, visibility.first_key
    stop = visibility.end
    last = mask.last_keys if not dropped and mask.keys == stop else None
    return replace(
        mask, queries=stop, keys=dropped + mask.keys, query_offset=0, key_starts=None,
        key_lengths=None, segments=None, last_keys=last,
    )  # fmt: skip
