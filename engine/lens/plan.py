"""What the lens reads of one run: sites, layers and positions, and where they leave the model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.budget import LensSize, sample, template_positions
from attentropy.engine.lens.lens import Lens, find_lens
from attentropy.engine.lens.sites import Point, Points, find_blocks, kept
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.selection import select

# The last layer's states, which every cell's target and divergence are taken from.
FINAL = "final"


@dataclass(frozen=True)
class Reading:
    """`points` by site; `layers` and `positions` that are read, ascending, of `length` tokens."""

    lens: Lens
    points: dict[str, Points]
    layers: list[int]
    positions: list[int]
    length: int

    @property
    def sites(self) -> list[str]:
        """The sites that are read, in the order of `SITES`."""
        return [site for site in self.points if site != FINAL]

    def kept(self, start: int, stop: int) -> AbstractContextManager[dict[str, list[Tensor | None]]]:
        """While open, a pass over the tokens start … stop−1 leaves the states to read, [n, d] by
        site and layer."""
        rows = self.within(start, stop)
        if len(rows) == stop - start:
            return kept(self.points)
        return kept(self.points, torch.tensor(rows, dtype=torch.int64) - start)

    def bytes_of_token(self) -> int:
        """Of all states of a position, kept while its pass runs."""
        count = sum(point is not None for found in self.points.values() for point in found)
        return count * self.lens.weight.shape[1] * self.lens.weight.dtype.itemsize

    def within(self, start: int, stop: int) -> list[int]:
        """The positions that are read from start to before stop."""
        first, last = (bisect_left(self.positions, end) for end in (start, stop))
        return self.positions[first:last]


def plan(
    loaded: LoadedModel,
    probe: Tensor,
    text: Prompt,
    sites: Sequence[str],
    layers: str | None,
    positions: str | None,
    notes: list[str],
) -> Reading | None:
    """The lens's part in a run; None, with the reason in `notes`, where none can be read.

    layers and positions: as `select` reads them; by default every layer, and every position up to
    the budget (see `LensSize.budget`). A site that is refused is left out and noted.
    """
    try:
        lens = find_lens(loaded.model, probe)
    except LensRefused as error:
        notes.append(f"no lens: {error}")
        return None
    modules = decoder_layers(loaded.model)
    chosen = select(layers or "all", len(modules), "lens layers")
    points = _points(loaded, probe, sites, notes)
    points = {
        site: [p if layer in chosen else None for layer, p in enumerate(found)]
        for site, found in points.items()
    }
    if not points:
        return None
    last = len(modules) - 1
    points[FINAL] = [Point(modules[last]) if layer == last else None for layer in range(last + 1)]
    where = _positions(loaded, lens, text, len(chosen), len(points) - 1, positions, notes)
    return Reading(lens, points, chosen, where, len(text.ids))


def _points(
    loaded: LoadedModel, probe: Tensor, sites: Sequence[str], notes: list[str]
) -> dict[str, Points]:
    found: dict[str, Points] = {}
    if "residual" in sites:
        found["residual"] = [Point(layer) for layer in decoder_layers(loaded.model)]
    others = [site for site in sites if site != "residual"]
    if not others:
        return found
    blocks = find_blocks(loaded.model, probe)
    for site in others:
        try:
            found[site] = blocks.points(site)
        except LensRefused as error:
            notes.append(f"no lens of the {site} site: {error}")
    return found


def _positions(
    loaded: LoadedModel,
    lens: Lens,
    text: Prompt,
    layers: int,
    sites: int,
    asked: str | None,
    notes: list[str],
) -> list[int]:
    n = len(text.ids)
    if asked is not None:
        words = {"template": template_positions(text.roles)}
        return select(asked, n, "lens positions", words)
    vocabulary, width = lens.weight.shape
    size = LensSize(
        width=width,
        vocabulary=vocabulary,
        layers=layers,
        sites=sites,
        parameters=loaded.model.num_parameters(),
        itemsize=loaded.model.dtype.itemsize,
    )
    where = sample(text.roles, size.budget(n))
    if len(where) < n:
        notes.append(
            f"the lens reads {len(where):,} of {n:,} positions (template, tail and an even sample "
            "of the rest), within its budget; --lens-positions all reads every one"
        )
    return where
