"""The options that decide what is recorded, and so what a run takes; checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attentropy.engine.attention.plan import check_heads, check_stats
from attentropy.engine.errors import UsageError
from attentropy.engine.lens.budget import check_sites
from attentropy.engine.maps.plan import check_options
from attentropy.engine.selection import check_selection
from attentropy.engine.trace.statistics import KEPT_STATS


@dataclass(frozen=True)
class CostOptions:
    """The options of `extract` that decide what a run takes, as `extract` takes them.

    Raises `UsageError` for one that cannot work, whatever the model and the prompt.
    """

    stats: Sequence[str] = KEPT_STATS
    layers: str | None = None
    heads: str = "all"
    sites: Sequence[str] = ("residual",)
    lens_layers: str | None = None
    lens_positions: str | None = None
    map_tile: str = "auto"
    map_heads: str = "mean"
    windows: Sequence[str] = ()
    scores: bool = True
    chunk: int | None = None
    storage: str = "float32"

    def __post_init__(self) -> None:
        check_sites(self.sites)
        check_selection(self.lens_layers, "lens layers")
        check_selection(self.lens_positions, "lens positions", ("all", "template"))
        check_selection(self.layers, "layers")
        check_heads(self.heads)
        check_stats(self.stats)
        check_options(self.map_tile, self.map_heads, self.windows)
        self._check_numbers()
        if self.storage not in ("float32", "float16"):
            raise UsageError(f"storage is float32 or float16, not {self.storage!r}")

    def _check_numbers(self) -> None:
        if self.chunk is not None and self.chunk < 1:
            raise UsageError("chunk and memory must be 1 or more")

    @property
    def ordered_sites(self) -> tuple[str, ...]:
        """The lens's sites in the order in which they are read."""
        return check_sites(self.sites)

    @property
    def kept_stats(self) -> tuple[str, ...]:
        """The attention statistics to keep, the entropy first."""
        return check_stats(self.stats)
