"""Lay arrays and coordinates out as a trace: the last step of everything that is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import COORDINATES

Arrays = Mapping[str, tuple[str | Sequence[str], np.ndarray]]


def lay_out(arrays: Arrays, coords: Arrays, attrs: Mapping[str, Any] | None = None) -> Trace:
    """Return the trace of `arrays` and `coords`, each name → (dimensions, values)."""
    data = xr.Dataset({**arrays, **coords})
    data = data.set_coords([name for name in COORDINATES if name in data.variables])
    return Trace(data.assign_attrs(attrs or {}))
