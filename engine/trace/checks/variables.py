"""Whether a dataset's variables are those of a trace: names, dimensions and kinds of value."""

from __future__ import annotations

import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.schema import COORDINATES, REQUIRED, VARIABLES

_SCHEMA = {**VARIABLES, **COORDINATES}
_NUMPY_KINDS = {"f": "f", "i": "iu", "s": "TUO"}


def check_schema(dataset: xr.Dataset) -> None:
    """Raise `TraceError` where the variables are not those of `schema`."""
    for name in REQUIRED:
        if name not in dataset.variables:
            raise TraceError(f"the trace is incomplete: {name!r} is missing")
    for key, variable in dataset.variables.items():
        name = str(key)
        if name not in _SCHEMA:
            raise TraceError(f"the trace has an unknown variable {name[:40]!r}")
        dims, kind = _SCHEMA[name]
        if variable.dims != dims:
            raise TraceError(
                f"trace variable {name!r} has dimensions {variable.dims}, expected {dims}"
            )
        if variable.dtype.kind not in _NUMPY_KINDS[kind]:
            raise TraceError(f"trace variable {name!r} has type {variable.dtype}, expected {kind}")
