"""The short passes before a run's first chunk: check, lens and cache are all read off the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.attention.probe import Probe
from attentropy.engine.attention.selfcheck import ensure_checked, needs_masks_built
from attentropy.engine.lens.lens import Lens, LensWatch
from attentropy.engine.lens.sites import Blocks, BlocksWatch

_TOKENS = 16
# Where the probe of a prompt that may be read in chunks is cut: it is recorded up to the first cut,
# and continued from there in two more pieces.
_CUTS = (12, 24, 32)


class RunProbe:
    """At most one pass of a model's own attention over the prompt's first tokens, and one recorded.

    ids [1, N] are the prompt's. `in_chunks`: whether these may be read in chunks. `use_cache`:
    whether the recorded pass has to leave a cache. See `lens.plan.LensProbe`. `cuts`: where the
    probe's pieces end.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids: Tensor,
        sites: Sequence[str] = (),
        *,
        in_chunks: bool = False,
        use_cache: bool = False,
    ) -> None:
        probe = ids[:, : _CUTS[-1] if in_chunks else _TOKENS]
        self.cuts = [max(1, probe.shape[1] * cut // _CUTS[-1]) for cut in _CUTS]
        self._lens, self._blocks = LensWatch(model), BlocksWatch(model)
        has_blocks = any(site != "residual" for site in sites)
        self.passes = Probe(
            model,
            probe,
            first=self.cuts[0] if in_chunks else None,
            use_cache=use_cache or in_chunks,
            masks_built=needs_masks_built(model),
            own_watch=self._lens if sites else None,
            recorded_watch=self._blocks.over if has_blocks else None,
        )

    def check(self) -> None:
        """Check the model unless that was done before; see `selfcheck.check_same_outputs`."""
        ensure_checked(self.passes)

    def lens(self) -> Lens:
        """Return the lens; raises `LensRefused` where there is none."""
        return self._lens.lens(self.passes.own)

    def blocks(self) -> Blocks:
        """Return what each layer adds to its residual stream; raises `LensRefused`."""
        self.passes.recorded  # noqa: B018 - the pass that the hooks watch
        return self._blocks.blocks()

    def cache(self) -> Any:
        """Return the cache that the recorded pass left, None where it left none."""
        return self.passes.recorded.cache
