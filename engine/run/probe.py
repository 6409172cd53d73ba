"""The short passes before a run's first chunk: check, lens and cache are all read off the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.attention.probe import CallList, Probe
from attentropy.engine.attention.selfcheck import ensure_checked, needs_masks_built
from attentropy.engine.attention.supported import check_free
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.blocks import Blocks, ExplainedLayer, checked_blocks, watch_blocks
from attentropy.engine.lens.head import HeadPass, watch_head
from attentropy.engine.model.layers import decoder_layers

_TOKENS = 16
# Where the probe of a prompt that may be read in chunks is cut: it is recorded up to the first cut,
# and continued from there in two more pieces.
_CUTS = (12, 24, 32)


def probe_ids(ids: Tensor, room: int) -> Tensor:
    """Return the tokens to probe with: the prompt's [1, N], repeated where it is very short.

    So that they can be read in pieces. They are no more than prompt and answer (`room`) together.
    """
    wanted = min(_CUTS[-1], ids.shape[1] + room)
    repeats = -(-wanted // ids.shape[1])
    return torch.cat([ids] * repeats, 1)[:, : max(wanted, ids.shape[1])] if repeats > 1 else ids


class RunProbe:
    """At most one pass of a model's own attention over the prompt's first tokens, and one recorded.

    ids [1, N] are the prompt's. `in_chunks`: whether these may be read in chunks. `use_cache`:
    whether the recorded pass has to leave a cache. `head`: whether the model's own pass is to show
    its head even without `sites`. `cuts`: where the probe's pieces end.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids: Tensor,
        sites: Sequence[str] = (),
        *,
        in_chunks: bool = False,
        use_cache: bool = False,
        head: bool = False,
    ) -> None:
        probe = ids[:, : _CUTS[-1] if in_chunks else _TOKENS]
        self.cuts = sorted({max(1, probe.shape[1] * cut // _CUTS[-1]) for cut in _CUTS})
        self.model = model
        self._head_pass: HeadPass | None = None
        self._explained: list[ExplainedLayer] = []
        self._has_blocks = any(site != "residual" for site in sites)
        self.passes = Probe(
            model,
            probe,
            first=self.cuts[0] if in_chunks else None,
            use_cache=use_cache or in_chunks,
            masks_built=needs_masks_built(model),
            own_watch=self._watch_head() if sites or head else None,
            recorded_watch=self._watch_blocks if self._has_blocks else None,
        )

    def check(self) -> None:
        """Check the model unless that was done before; see `selfcheck.check_same_outputs`."""
        check_free(self.model)
        ensure_checked(self.passes)

    @property
    def head_pass(self) -> HeadPass | None:
        """What the model's own pass showed of its head; None where there is none to watch."""
        output = self.passes.own
        if self._head_pass is not None:
            self._head_pass.logits = output.logits
        return self._head_pass

    @property
    def blocks(self) -> Blocks | None:
        """What the recorded pass showed of the layers' blocks; None where nobody asked for them.

        Raises `LensRefused` where not each layer ran once.
        """
        if not self._has_blocks or not self.passes.recorded.calls.calls:
            return None
        return checked_blocks(decoder_layers(self.model), self._explained)

    def cache(self) -> Any:
        """Return the cache that the recorded pass left, None where it left none."""
        return self.passes.recorded.cache

    @contextmanager
    def _watch_head(self) -> Iterator[None]:
        with ExitStack() as stack:
            with suppress(LensRefused):  # the lens's plan says why
                self._head_pass = stack.enter_context(watch_head(self.model))
            yield

    @contextmanager
    def _watch_blocks(self, calls: CallList) -> Iterator[None]:
        with ExitStack() as stack:
            with suppress(LensRefused):
                layers = decoder_layers(self.model)
                watch = watch_blocks(layers, calls, self.model.config)
                self._explained = stack.enter_context(watch)
            yield
