"""Plan what the lens reads in one run: sites, layers and positions, and where they are captured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.arguments import Selection
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.blocks import Blocks, find_blocks
from attentropy.engine.lens.budget import (
    TRANSLATED,
    LensSize,
    sample_positions,
    template_positions,
)
from attentropy.engine.lens.head import HeadPass, checked_lens, find_lens
from attentropy.engine.lens.lens import Lens
from attentropy.engine.lens.points import Point, Points, States, capture_states
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.selection import select
from attentropy.engine.trace.text import count

# The last layer's states, which every cell's target and divergence are computed from.
FINAL = "final"

# What makes the lenses of a second reading of the residuals, by layer, from the plain lens and the
# number of layers.
Translate = Callable[[Lens, int], Mapping[int, Lens]]


@dataclass(frozen=True)
class LensPlan:
    """The lens, its `points` by site, and the `layers` and `positions` to read, both ascending.

    length: tokens of the prompt, which the tokens of the answer follow. translated: the lenses that
    read the residuals a second time, by layer; empty for none.
    """

    lens: Lens
    points: dict[str, Points]
    layers: list[int]
    positions: list[int]
    length: int
    translated: Mapping[int, Lens] = field(default_factory=dict)

    @property
    def sites(self) -> list[str]:
        """The sites that are read, in the order of `SITES`; "translated" follows "residual"."""
        return sites_read([site for site in self.points if site != FINAL], self.translated)

    def reader(self, site: str, layer: int) -> Lens | None:
        """Return the lens that reads one layer at a site, None where none does."""
        return self.translated.get(layer) if site == TRANSLATED else self.lens

    def state(self, states: States, site: str, layer: int) -> Tensor | None:
        """Return what the lens reads of the captured states, None where it reads nothing."""
        return None if self.reader(site, layer) is None else states[source_of(site)][layer]

    def capture(self, start: int, stop: int) -> AbstractContextManager[States]:
        """Capture the states to read in a pass over the tokens start … stop−1, while this is open.

        Each is [n, d], by site and layer.
        """
        rows = self.positions_within(start, stop)
        if len(rows) == stop - start:
            return capture_states(self.points)
        return capture_states(self.points, torch.tensor(rows, dtype=torch.int64) - start)

    def bytes_per_token(self) -> int:
        """Return the bytes of all states of one position, held while its pass runs."""
        count = sum(point is not None for points in self.points.values() for point in points)
        return count * self.lens.weight.shape[1] * self.lens.weight.dtype.itemsize

    def positions_within(self, start: int, stop: int) -> list[int]:
        """Return the positions to read from `start` to before `stop`."""
        first, last = (bisect_left(self.positions, end) for end in (start, stop))
        return self.positions[first:last]


def plan_lens(
    loaded: LoadedModel,
    probe: Tensor,
    text: Prompt,
    sites: Sequence[str],
    layers: Selection,
    positions: Selection,
    notes: list[str],
    *,
    head_pass: HeadPass | None = None,
    blocks: Blocks | None = None,
    room: int = 0,
    translate: Translate | None = None,
) -> LensPlan | None:
    """Plan the lens's part in a run; None, with the reason in `notes`, where it can read nothing.

    layers and positions: as `select` reads them; by default every layer, and every position up to
    the budget (see `LensSize.budget`). Of an answer of at most `room` tokens, which follows, it
    reads those of `LensSize.of_answer`, or all where `positions` is "all". A site that is
    refused is skipped and noted. head_pass and blocks: what a pass over `probe` [1, n]
    showed already (`watch_head`, `watch_blocks`); without them the model makes
    passes of its own for them. translate: makes the lenses of the site "translated", None for none.
    """
    try:
        if head_pass is None:
            lens = find_lens(loaded.model, probe)
        else:
            lens = checked_lens(loaded.model, head_pass)
    except LensRefused as error:
        notes.append(f"no lens: {error}")
        return None
    modules = decoder_layers(loaded.model)
    selected = select(layers, len(modules), "lens_layers")
    points = site_points(loaded.model, probe, sites, blocks, notes)
    points = {
        site: [point if layer in selected else None for layer, point in enumerate(site_points)]
        for site, site_points in points.items()
    }
    if not points:
        return None
    last = len(modules) - 1
    points[FINAL] = [Point(modules[last]) if layer == last else None for layer in range(last + 1)]
    translated = translate(lens, len(modules)) if translate is not None else {}
    sites_count = len(points) - 1 + bool(translated)
    size = _size(loaded, lens, layers=len(selected), sites=sites_count)
    if positions is None:
        rows = _default_positions(size, text, notes)
    else:
        words = {"template": template_positions(text.roles)}
        rows = select(positions, len(text.ids), "lens_positions", words)
    length = len(text.ids)
    answer = range(room) if positions == "all" else size.of_answer(room)
    rows = rows + [length + i for i in answer]
    return LensPlan(lens, points, selected, rows, length, translated)


def sites_read(captured: Sequence[str], translated: Mapping[int, Lens]) -> list[str]:
    """Return the sites of a trace; those `captured`, and "translated" after "residual"."""
    sites = list(captured)
    if translated:
        sites.insert(sites.index("residual") + 1, TRANSLATED)
    return sites


def source_of(site: str) -> str:
    """Return the site whose states are read at `site`."""
    return "residual" if site == TRANSLATED else site


def site_points(
    model: PreTrainedModel,
    probe: Tensor,
    sites: Sequence[str],
    blocks: Blocks | None,
    notes: list[str],
) -> dict[str, Points]:
    """Return the points of each site that the model has; the others are noted."""
    points: dict[str, Points] = {}
    if "residual" in sites:
        points["residual"] = [Point(layer) for layer in decoder_layers(model)]
    others = [site for site in sites if site != "residual"]
    if not others:
        return points
    if blocks is None:
        blocks = find_blocks(model, probe)
    for site in others:
        try:
            points[site] = blocks.points(site)
        except LensRefused as error:
            notes.append(f"no lens at {site}: {error}")
    return points


def _size(loaded: LoadedModel, lens: Lens, *, layers: int, sites: int) -> LensSize:
    vocabulary, width = lens.weight.shape
    return LensSize(
        width=width,
        vocabulary=vocabulary,
        layers=layers,
        sites=sites,
        parameters=loaded.model.num_parameters(),
        itemsize=loaded.model.dtype.itemsize,
    )


def _default_positions(size: LensSize, text: Prompt, notes: list[str]) -> list[int]:
    """Return the positions within the budget; where these are not all, a note says so."""
    n = len(text.ids)
    positions = sample_positions(text.roles, size.budget(n))
    if len(positions) < n:
        notes.append(
            f"the lens reads {len(positions):,} of {count(n, 'position')} (template, tail and an "
            "even sample of the rest) to stay within its budget; use "
            '`lens_positions="all"` to read all'
        )
    return positions
