"""The attention statistics that are recorded by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# Of attention where nobody has said: what `record` computes, and what `extract` keeps.
DEFAULT_STATS = ("entropy", "max_prob", "distance", "sink_mass", "top_key")


KEPT_STATS = (*DEFAULT_STATS, "lse")
