"""The attention statistics that are recorded by default."""

from __future__ import annotations

# What `record` computes by default, and what `extract` keeps.
DEFAULT_STATS = ("entropy", "max_prob", "distance", "sink_mass", "top_key")
KEPT_STATS = (*DEFAULT_STATS, "lse")
