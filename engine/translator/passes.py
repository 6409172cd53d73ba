"""The passes of a fit over its windows: sums of the rows to fit on, and the held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.lens import Lens
from attentropy.engine.lens.plan import FINAL
from attentropy.engine.lens.points import Point, Points, States, capture_states
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.translator.ridge import RidgeSums
from attentropy.engine.translator.translator import over_rms
from attentropy.engine.translator.windows import Windows

CHOICE_ROWS, TABLE_ROWS = 128, 256  # held-out rows that choose a penalty, and of the table


class LayerRows:
    """What the passes leave of some layers, by layer number.

    sums: of the rows to fit on, x = residual over its root mean square and y = the head's input.
    choice and table: residuals [n, d] at two sets of held-out rows. choice_final and table_final:
    the last layer's at the same rows.
    """

    def __init__(self, layers: Sequence[int], width: int) -> None:
        self._width = width
        self.sums: dict[int, RidgeSums] = {}
        self.choice: dict[int, Tensor] = {}
        self.table: dict[int, Tensor] = {}
        self.layers = list(layers)

    def add(self, states: States, lens: Lens) -> None:
        """Add the rows of one window to the sums."""
        y = lens.normed(_state(states, FINAL, -1)).float()
        for layer in self.layers:
            x = over_rms(_finite(_state(states, "residual", layer), layer).float())
            if layer not in self.sums:
                self.sums[layer] = RidgeSums(self._width, x.device)
            self.sums[layer].add(x, y)


def read_layers(
    model: Any,
    lens: Lens,
    windows: Windows,
    layers: Sequence[int],
    show: Callable[[int], None],
) -> LayerRows:
    """Run the model over all windows, and return the rows of `layers`, the last layer's included.

    The first position of each window is left out: its residual is unlike all others. show: called
    with the number of windows that were read. Raises `AttentropyError` for residuals that are not
    finite.
    """
    rows = LayerRows(layers, lens.weight.shape[1])
    points = _points(model, layers)
    for done, window in enumerate(windows.fit):
        show(done)
        rows.add(_states(model, points, [*windows.start, *window]), lens)
    choice, table = held_out_rows(windows)
    parts_of: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in [*layers, -1]}
    first = 0
    for done, window in enumerate(windows.held_out, len(windows.fit)):
        show(done)
        states = _states(model, points, [*windows.start, *window])
        stop = first + len(window) + len(windows.start) - 1
        parts = [[row - first for row in some if first <= row < stop] for some in (choice, table)]
        first = stop
        for layer, pairs in parts_of.items():
            site = FINAL if layer < 0 else "residual"
            state = _finite(_state(states, site, layer), layer % len(points[FINAL]))
            pairs.append((state[parts[0]], state[parts[1]]))
    for layer, pairs in parts_of.items():
        rows.choice[layer] = torch.cat([pair[0] for pair in pairs])
        rows.table[layer] = torch.cat([pair[1] for pair in pairs])
    return rows


def held_out_rows(windows: Windows) -> tuple[list[int], list[int]]:
    """Return the rows that choose the penalty, and those of the table, of all held-out rows.

    No row is in both.
    """
    total = sum(len(window) + len(windows.start) - 1 for window in windows.held_out)
    return _spread(range(0, total, 2), CHOICE_ROWS), _spread(range(1, total, 2), TABLE_ROWS)


def _spread(rows: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the rows, evenly spread."""
    number = min(most, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]


def _points(model: Any, layers: Sequence[int]) -> dict[str, Points]:
    modules = decoder_layers(model)
    last = len(modules) - 1
    return {
        "residual": [Point(m) if layer in layers else None for layer, m in enumerate(modules)],
        FINAL: [Point(m) if layer == last else None for layer, m in enumerate(modules)],
    }


def _states(model: Any, points: dict[str, Points], ids: list[int]) -> States:
    """Return the captured states of one pass, each [n − 1, d], without the first position."""
    with torch.no_grad(), capture_states(points) as states:
        model(torch.tensor([ids], device=input_device(model)), use_cache=False, logits_to_keep=1)
    return {site: [s if s is None else s[1:] for s in own] for site, own in states.items()}


def _state(states: States, site: str, layer: int) -> Tensor:
    state = states[site][layer]
    assert state is not None
    return state


def _finite(state: Tensor, layer: int) -> Tensor:
    if not bool(state.isfinite().all()):
        raise AttentropyError(
            f'the residuals of layer {layer} are not finite; try `dtype="float32"`'
        )
    return state
