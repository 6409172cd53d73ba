"""The values that are checked when a trace is opened: some chunks of what a page says first.

What is read here is checked as it is read (`lazy`). A page reads more, which is checked then, and
`verify` reads all. How much is read does not depend on how long the trace is.
"""

from __future__ import annotations

import logging
import math

import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.ranges import Impossible, are_reads_unchecked

# Of the entropies the first, a middle and the last chunk are read; of the others the first or the
# last one. None of them has a range for which all of `visible` is read.
_ENTROPIES = ("entropy", "lens_entropy")
_OTHERS = (
    "max_prob", "sink_mass", "visible", "received", "answer_attention", "window", "map",
    "entropy_without_sinks", "lens_top_logprobs", "lens_rank", "lens_kl", "rehearsal",
    "token_logprob", "generated_logprob", "generated_entropy", "head_sink", "head_local",
    "profile_seconds",
)  # fmt: skip
# Of one chunk, and of all chunks together.
CHUNK_BYTES, ALL_BYTES = 2**20, 2**24

_logger = logging.getLogger(__name__)


def read_sample(dataset: xr.Dataset) -> None:
    """Read a few chunks of the variables.

    Raises `Impossible` for values that no recording gives. Damage is told of where a value is used.
    """
    if are_reads_unchecked():
        return
    left = ALL_BYTES
    for number, name in enumerate((*_ENTROPIES, *_OTHERS)):
        if name not in dataset.variables:
            continue
        variable = dataset[name].variable
        lengths = variable.encoding.get("chunks", variable.shape)
        size = math.prod(lengths) * variable.dtype.itemsize
        if not 0 < size <= CHUNK_BYTES:
            continue
        blocks = _blocks(variable, lengths)
        for block in blocks if name in _ENTROPIES else blocks[-(number % 2) :][:1]:
            if size <= left:
                left -= size
                _read(variable, block)


def _read(variable: xr.Variable, block: tuple[slice, ...]) -> None:
    try:
        if variable[block].shape == variable.shape:
            variable.values  # noqa: B018 - what is read completely stays in memory
        else:
            variable[block].values  # noqa: B018
    except Impossible:
        raise
    except TraceError as error:
        _logger.debug("not checked: %s", error)


def _blocks(variable: xr.Variable, lengths: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return the places of the first, a middle and the last chunk of a variable, each once."""
    grid = [-(-n // length) for n, length in zip(variable.shape, lengths, strict=True)]
    corners = [tuple(0 for _ in grid), tuple(n // 2 for n in grid), tuple(n - 1 for n in grid)]
    return [
        tuple(
            slice(i * length, min(n, (i + 1) * length))
            for i, length, n in zip(at, lengths, variable.shape, strict=True)
        )
        for at in dict.fromkeys(corners)
        if variable.size
    ]
