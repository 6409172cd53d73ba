"""The trace of an unfinished run, as far as the run got."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import partial, store
from attentropy.engine.trace.answered import with_answer
from attentropy.engine.trace.schema import TRACE
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.types import PartialFacts


def read_unfinished(path: Path, *, is_wanted: bool, max_cells: int | None = None) -> xr.Dataset:
    """Return the arrays in the folder NAME.partial; the attribute `partial` says how far they go.

    Raises `TraceError`, also where nobody wants an unfinished trace.
    """
    partial.check_folder(path)
    progress = partial.read_progress(path)
    if not is_wanted:
        raise TraceError(
            f"{path.name} is unfinished: {progress.words}; open it with `partial=True`, or "
            "continue the run with `resume=True`"
        )
    dataset = store.read_datasets(path / partial.TRACE, TRACE, partial=True, max_cells=max_cells)[
        ""
    ]
    dataset = with_answer(dataset, progress.tokens, partial.read_answer(path))
    texts = partial.read_vocabulary(path)
    dataset = dataset.drop_vars(("vocabulary_ids", "vocabulary_text"), errors="ignore").assign(
        vocabulary_ids=("vocabulary", np.array(list(texts), np.int32)),
        vocabulary_text=("vocabulary", text_array(texts.values())),
    )
    facts: PartialFacts = {
        "tokens": progress.tokens, "done": progress.done, "chunks": progress.chunks,
        "reason": progress.reason, "answered": progress.answered,
    }  # fmt: skip
    return dataset.assign_attrs(partial=facts)
