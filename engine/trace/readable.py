"""What functions read of a trace, and whether its texts are there; the trace itself imports it."""

from __future__ import annotations

from typing import Protocol

import xarray as xr

from attentropy.engine.trace.schema import FORMAT, FORMAT_VERSION
from attentropy.engine.trace.types import Array, Attributes


class Readable(Protocol):
    """The arrays of a trace by name, its tokens and its provenance."""

    dataset: xr.Dataset
    sources: xr.Dataset | None

    @property
    def tokens(self) -> list[str]:
        """The text of each position, [N]."""

    @property
    def roles(self) -> list[str]:
        """The role of each position, [N]."""

    @property
    def is_generated(self) -> Array:
        """Whether the model generated the token at each position, [N] bool."""

    @property
    def attrs(self) -> Attributes:
        """Provenance."""

    def __contains__(self, name: object) -> bool: ...

    def __getitem__(self, name: str) -> Array: ...


def is_redacted(trace: Readable) -> bool:
    """Return whether a trace has marks and numbers in place of texts and ids."""
    return trace.attrs.get("redacted") is True


def stored_dataset(trace: Readable) -> xr.Dataset:
    """Return the dataset of a trace as it is stored: its attributes say format and version."""
    form = {"format": FORMAT, "format_version": FORMAT_VERSION}
    return trace.dataset.assign_attrs(trace.dataset.attrs | form)
