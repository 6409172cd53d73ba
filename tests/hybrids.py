"""Synthetic traces whose layers differ: without attention, with fewer heads, with windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from traces import CHAT, synthetic

MAMBA = "not applicable: this layer has no softmax attention (mamba)"
_STATISTICS = ("entropy", "lse", "max_prob", "distance", "sink_mass")


def hybrid(counts: Sequence[int] = (3, 0, 2, 0, 3, 0), note: str = MAMBA, **options: Any) -> Trace:
    """Return a trace whose layers have `counts` heads; of those with none, `note` says why.

    What a layer does not have is missing, as an extraction writes it.
    """
    heads = max(*counts, 1)
    dataset = synthetic(layers=len(counts), heads=heads, **options).dataset.copy(deep=True)
    for entry, own in enumerate(counts):
        for name in _STATISTICS:
            dataset[name].values[entry, own:] = np.nan
        dataset["top_key"].values[entry, own:] = -1
        if "window" in dataset:
            dataset["window"].values[entry, own:] = np.nan
        if not own:
            dataset["visible"].values[entry] = 0
    notes = np.array(["" if own else note for own in counts], np.dtypes.StringDType())
    return Trace(
        dataset.assign_coords(
            heads=("layer", np.array(counts, np.int32)), attention_note=("layer", notes)
        )
    )


def sliding(window: int = 4) -> Trace:
    """Return a trace in whose layers each query sees its own key and the `window` - 1 before it."""
    trace = synthetic()
    visible = np.minimum(np.arange(len(CHAT)) + 1, window).astype(np.int32)
    dataset = trace.dataset.copy(deep=True)
    dataset["visible"].values[:] = visible
    dataset["entropy"].values[:] = np.minimum(dataset["entropy"].values, np.log(visible))
    far = np.arange(len(CHAT))[:, None] - np.arange(len(CHAT)) >= window
    dataset["window"].values[:, :, far] = 0
    return Trace(dataset)


def smallest() -> Trace:
    """Return a trace of one token, one layer and one head, without a lens."""
    dataset = synthetic(["x"], ["content"], layers=1, heads=1, generated=()).dataset
    return Trace(
        dataset.drop_vars([name for name in dataset if str(name).startswith(("lens", "rehearsal"))])
    )
