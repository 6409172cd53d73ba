"""The modules whose outputs the lens reads, and the hooks that capture those outputs in a pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# The captured values by site: one tensor [n, d] per layer, None where the layer has no point.
States = dict[str, list[Tensor | None]]


@dataclass(frozen=True)
class Point:
    """A module whose output, times `factor`, is a site's value in one layer."""

    module: nn.Module
    factor: float = 1.0


Points = Sequence[Point | None]  # one per layer, None where the layer has no such site


@contextmanager
def capture_states(points: Mapping[str, Points], rows: Tensor | None = None) -> Iterator[States]:
    """Capture the value of each point in the next pass [1, N], by site and layer.

    Values are [N, d], or [n, d] at `rows`; None where there is no point. Each point's module runs
    once per pass: `find_blocks` accepts no other module.
    """
    states: States = {site: [None] * len(layers) for site, layers in points.items()}
    handles = []
    for site, layers in points.items():
        for layer, point in enumerate(layers):
            if point is not None:

                def capture(
                    module: nn.Module,
                    args: Any,
                    output: Any,
                    target: list[Tensor | None] = states[site],
                    layer: int = layer,
                    factor: float = point.factor,
                ) -> None:
                    value = first_tensor(output).detach()
                    value = value.reshape(-1, value.shape[-1])
                    value = value if rows is None else value[rows.to(value.device)]
                    target[layer] = value if factor == 1.0 else value * factor

                handles.append(point.module.register_forward_hook(capture))
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(output: Any) -> Any:
    """Return what a module computes first: the first element of a tuple, or the output itself."""
    return output[0] if isinstance(output, (tuple, list)) else output
